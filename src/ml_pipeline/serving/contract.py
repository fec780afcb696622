"""What a serving image promises: where its files are, who runs it, and what its labels say.

This is a protocol between versions of this module: the gate runs the batch command of the image in
production, which an older version may have built, and clusters run older servers. docs/serving.md has it in
full. An image keeps:

- the folder MODEL with model.json and record.json (a summary of the training data);
- a server on PORT, as its default command;
- a batch command that takes `--input ROWS.npz --output ANSWERS.npz`, which the label BATCH_COMMAND holds as
  a JSON list of words. Images that are older than the label have the command BEFORE_LABEL;
- a server that still answers for as many seconds after SIGTERM as the variable says that the label DRAIN
  names; it ends kept connections by its answers meanwhile. Images without the label get a preStop sleep;
- the outcome of a batch at the path in the variable ML_OUTCOME, as common/outcome.py writes it;
- the user USER, who needs no writable folder but those of the output and the outcome.
"""

import json

from ml_pipeline.engine.paths import PYTHON

PORT = 8000
USER = 10001
MODEL = "/model"
SIGNATURE, RECORD = "model.json", "record.json"

# https://specs.opencontainers.org/image-spec/annotations/
TITLE = "org.opencontainers.image.title"  # the project's name
VERSION = "org.opencontainers.image.version"  # the model's
REVISION = "org.opencontainers.image.revision"  # the commit that was published
BATCH_COMMAND = "ml-pipeline.batch-command"
DRAIN = "ml-pipeline.drain"

DRAIN_VARIABLE = "ML_DRAIN"

SERVER, BATCH = "ml_pipeline.serving.serve", "ml_pipeline.serving.predict"
# Images that are older than the label have both here; modules at these names still start them.
OLD_SERVER, OLD_BATCH = "ml_pipeline.stages.serve", "ml_pipeline.stages.predict"
BEFORE_LABEL = (PYTHON, "-m", OLD_BATCH)


def batch_label() -> str:
    """Return the value of the label BATCH_COMMAND for an image that is built now."""
    return json.dumps([PYTHON, "-m", BATCH])


def batch_command(label: str | None) -> tuple[str, ...]:
    """Return the batch command of an image: the words of its label, BEFORE_LABEL where that is None or "".

    Raises ValueError, with the label's name, where the label is not a list of words.
    """
    if not label:
        return BEFORE_LABEL
    try:
        words = json.loads(label)
    except (ValueError, RecursionError):
        words = None
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f"the label {BATCH_COMMAND} is {label[:200]!r}, not a JSON list of words")
    return tuple(words)
