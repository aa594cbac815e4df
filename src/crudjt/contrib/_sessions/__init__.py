"""The rules of a browser's session, shared by all adapters."""
