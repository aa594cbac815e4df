"""The modules in here are named as their commands."""
