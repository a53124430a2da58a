"""Commands about the vault: its items, and its key and kit."""
