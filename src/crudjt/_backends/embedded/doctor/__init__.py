"""Examine the files of a store, and repair them."""
