"""Adapters for web frameworks: thin, on the public interface alone, each in an extra of its own."""
