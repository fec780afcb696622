"""An image that no clock went into: its layers, its manifest, and the way into a registry."""
