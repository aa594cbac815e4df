"""The original engine's face and protocol: ours against what the original does, and against the original itself."""
