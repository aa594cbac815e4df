"""The fault harness: it tries to break every promise of docs/guarantees.md. Run it with ``python -m tests.faults``."""
