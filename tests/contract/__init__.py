"""What every backend must do: the public interface of `crudjt.Store`, and nothing behind it."""
