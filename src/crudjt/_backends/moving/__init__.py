"""Stores that are being moved: where each call goes, and how the sessions get to the destination."""
