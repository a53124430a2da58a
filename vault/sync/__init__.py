"""Sync between devices: what changed, signed and sealed, merged in any order."""
