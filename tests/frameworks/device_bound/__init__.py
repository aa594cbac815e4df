"""Device bound sessions: what a browser with a device, a thief and an operator see of them."""
