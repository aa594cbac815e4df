"""Disks that fail: recorded, simulated, refused by the operating system, and real."""
