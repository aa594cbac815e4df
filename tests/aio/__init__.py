"""`AsyncStore`."""
