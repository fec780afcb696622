"""The metrics that the pipeline measures: one table."""
