"""The admin page: over HTTP, as a command, and in a browser."""
