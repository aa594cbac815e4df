"""What a remote store must withstand, and how it differs from one in a directory."""
