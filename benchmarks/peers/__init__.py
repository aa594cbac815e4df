"""The contestants: one module each, which says how it is set up and why that is fair."""
