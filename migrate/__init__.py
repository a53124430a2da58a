"""Other products' formats: reading, accounting for every value, writing, taking back."""
