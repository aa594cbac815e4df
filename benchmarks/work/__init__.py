"""The parts of the suite: each arranges processes, lets contestants take turns, and yields sections."""
