"""A project's configuration: read, checked, and handed to each stage in its own part."""
