"""The serving image and the server in it."""
