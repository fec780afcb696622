"""Which digit was written? A convolutional network in plain PyTorch."""
