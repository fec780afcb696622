"""Files that a program writes for itself, such as a text in UTF-8: they go with the process."""

import atexit
import functools
import os
import tempfile
from pathlib import Path


def file(suffix: str) -> Path:
    """Create an empty file whose name ends in `suffix`; it is removed when the process ends."""
    descriptor, name = tempfile.mkstemp(suffix, dir=_folder())
    os.close(descriptor)
    return Path(name)


@functools.cache
def _folder() -> str:
    made = tempfile.TemporaryDirectory(prefix="ml-pipeline-")
    atexit.register(made.cleanup)
    return made.name
