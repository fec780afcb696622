"""What a person reads of a run: the summary and the report."""
