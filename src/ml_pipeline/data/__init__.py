"""The project's tables: fetched, read, validated, split."""
