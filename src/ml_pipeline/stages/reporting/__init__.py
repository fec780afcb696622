"""What the `report` program is made of."""
