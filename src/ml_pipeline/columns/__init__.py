"""What a column is: its type, and its values as arrays and in JSON."""
