"""A process with a store, and which states may be found after it: what the scenarios compare with."""
