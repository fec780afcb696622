"""What the `evaluate` program is made of."""
