"""A store in a directory that every process of the host opens."""
