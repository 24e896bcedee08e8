"""Control of a campaign from the command line, through the database."""
