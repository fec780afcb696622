"""What the `track` program is made of."""
