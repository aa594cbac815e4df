"""Adapters for web frameworks: thin, on the public face alone, each in an extra of its own."""
