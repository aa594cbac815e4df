"""What every backend must do: the public face of `crudjt.Store`, and nothing behind it."""
