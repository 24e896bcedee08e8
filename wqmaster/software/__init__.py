"""Software that workers have not: archives looked into, made, and proved."""
