"""Programs that developers run."""
