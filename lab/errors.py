"""The error that the lab raises on purpose. The command line prints it as one line."""


class LabError(Exception):
    """A cause and what to do about it."""
