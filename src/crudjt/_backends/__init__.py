"""Where sessions are kept; the backends do not import each other."""
