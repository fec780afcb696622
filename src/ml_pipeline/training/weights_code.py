"""The code that decides the built-in trainer's weights.

A checkpoint can only be continued by the same code: another trainer would take other steps from the same
state. So this code's digest is part of a run's key, in the engine (`training/stages.py`, which names the
folder of checkpoints) and inside the container (`tabular/prepare.py`, which checks the checkpoint).

It is the folder `tabular` without what runs after the training. What lies outside of it either decides no
weights (wording, outcomes, ONNX Runtime) or decides them by the encoded rows alone (columns/), whose digest
is part of the key inside the container.
"""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).with_name("tabular")
AFTER_TRAINING = frozenset({"export", "results"})


def digest() -> str:
    """Return the SHA-256 of the code, by file names and contents."""
    code = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem not in AFTER_TRAINING:
            content = path.read_bytes()
            code.update(f"{path.name} {len(content)}\n".encode() + content)
    return code.hexdigest()
