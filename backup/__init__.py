"""Sealed copies of the vault: made, verified, restored."""
