"""The relay: keeps what devices send each other, and can read none of it."""
