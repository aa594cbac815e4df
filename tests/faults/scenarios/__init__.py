"""Ways to break the store; each module is one, and has a function `run`."""
