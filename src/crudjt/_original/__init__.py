"""The protocol of the original engine (crudjt 1.x)."""
