"""What a serving image is: where things are in it, who runs it, and what it says of itself.

This is a protocol between versions of this module. The gate runs the batch command of the image in
production, which an older version may have built, and a cluster runs its server. So an image keeps:

- the files of MODEL: model.json and record.json (what its training data was like);
- its server on PORT, as the default command; its batch command as the label BATCH_COMMAND, a JSON list
  that takes `--input ROWS.npz --output ANSWERS.npz`. Images of before that label have BEFORE_LABEL;
- its outcome at the path in the variable ML_OUTCOME, as common/outcome.py writes it;
- the user USER, who may write nowhere but where the caller lets them.
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

SERVER, BATCH = "ml_pipeline.serving.serve", "ml_pipeline.serving.predict"
# Where images of before the label have both; thin modules there still answer to these names.
OLD_SERVER, OLD_BATCH = "ml_pipeline.stages.serve", "ml_pipeline.stages.predict"
BEFORE_LABEL = (PYTHON, "-m", OLD_BATCH)


def batch_label() -> str:
    """Return the value of the label BATCH_COMMAND for an image that is built now."""
    return json.dumps([PYTHON, "-m", BATCH])


def batch_command(label: str | None) -> tuple[str, ...]:
    """Return the batch command of an image with this label, None or "" where it has none.

    Raises ValueError: the label is not a list of words.
    """
    if not label:
        return BEFORE_LABEL
    words = json.loads(label)
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise ValueError(f"the label {BATCH_COMMAND} is {label!r}, not a list of words")
    return tuple(words)
