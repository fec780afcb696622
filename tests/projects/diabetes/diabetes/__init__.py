"""How well can the disease's progression be told? A study that ends in figures, with nothing to serve."""
