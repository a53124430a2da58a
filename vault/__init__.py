"""The encrypted store, its keys, and the model everyone stands on."""
