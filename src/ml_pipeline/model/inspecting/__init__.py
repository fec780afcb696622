"""What the inspection reads out of rows, graphs and predictors."""
