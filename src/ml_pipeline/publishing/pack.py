"""Pack a folder as a layer of an image: OUT/layer.tar.gz, and OUT/layer.json, which describes it.

    python -m ml_pipeline.publishing.pack --folder /folder --path /where/the/image/has/it --output OUT

The same files give the same bytes.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import run_stage
from ml_pipeline.publishing.layers import pack


def packed(folder: Path, path: str, output: Path) -> dict[str, object]:
    """Write the layer and its description; return the outcome's details."""
    output.mkdir(parents=True, exist_ok=True)
    layer = pack(folder, path, output / "layer.tar.gz")
    (output / "layer.json").write_text(json.dumps(asdict(layer)))
    print(f"{path}: {layer.size / 1e6:,.1f} MB packed")
    return {"digest": layer.digest, "bytes": layer.size}


def main() -> NoReturn:
    """Pack the folder that the command line names, and end the process."""
    parser = command_line.parser("publishing.pack", __doc__)
    parser.add_argument("--folder", type=Path, required=True, help="the folder to pack")
    parser.add_argument("--path", required=True, help="the absolute path of the folder in the image")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write into")
    options = parser.parse_args()
    run_stage("pack", lambda: packed(options.folder, options.path, options.output))


if __name__ == "__main__":
    main()
