"""Tells wines by their chemistry."""
