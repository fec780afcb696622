"""Tells benign from malignant tumours by measures of their cells."""
