"""What `serve` and `predict` share: the signature, columns in, the protocols, the figures."""
