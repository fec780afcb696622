"""What any program may use: outcomes, metric names, gate rules, wording."""
