"""Which iris is it? A scikit-learn model, served by a predictor of its own."""
