"""The project's own code: lint and tests."""
