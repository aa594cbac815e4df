"""What runs, and is timed, in processes of its own."""
