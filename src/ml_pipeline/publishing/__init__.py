"""How an image gets into a registry: its layers, its manifest, the push."""
