"""What the data stage does, by noun: tables, kinds, schema, target, split."""
