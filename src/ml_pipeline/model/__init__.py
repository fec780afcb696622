"""A trained model: its signature, its graph or predictor, the rows it answers."""
