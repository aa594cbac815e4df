"""Version 1 of our own protocol, `crudjt.v1.Store`."""
