"""All access to MongoDB: documents, results, attempts, locks, and a private server."""
