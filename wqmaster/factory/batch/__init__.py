"""What is known of each batch system that workers are sent to."""
