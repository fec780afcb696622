"""The gate: the images answer the holdout, and their answers are judged."""
