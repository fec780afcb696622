"""The least that a Dagger module in Python can be."""
