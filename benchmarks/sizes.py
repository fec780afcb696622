"""The size that a serving image adds to its base, in MB unpacked: ours, and what others would install.

    make .venv-benchmarks && .venv-benchmarks/bin/python benchmarks/sizes.py

Each is the packages that its server needs, with all that they need, as their Linux wheels unpack: the files
of the installed ones in `.venv-benchmarks` are counted, and MLflow's are installed into a temporary folder
(700 MB), because its pins are its own. The base image, compiled bytecode and the model are in none of them;
the image that the pipeline builds is weighed by its gate, with bytecode and model (`image_above_base_mb`).

The last line is one JSON object.
"""

import json
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
PINS = [HERE.parent / "requirements-model.txt", HERE.parent / "src/ml_pipeline/requirements/serving.txt"]
SERVERS = {
    "litserve": ["litserve", "torch"],
    "bentoml": ["bentoml", "torch"],
    "fastapi_torch": ["fastapi", "uvicorn", "torch"],
    "fastapi_onnx": ["fastapi", "uvicorn", "onnxruntime"],
}
CUDA = (
    "nvidia-",
    "triton",
)  # what wheels of torch for the CPU do without; some 900 MB in torch itself are too


def pinned(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [line.partition("==")[0] for line in lines if line]


def closure(names: list[str]) -> set[str]:
    """Return the normalised names of packages and of all that they need here."""
    packages: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in packages:
            continue
        packages.add(name)
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return packages


def megabytes(name: str) -> float:
    """Return the MB of an installed package's files, without compiled bytecode."""
    files = (Path(str(file.locate())) for file in metadata.files(name) or [] if file.suffix != ".pyc")
    return sum(file.stat().st_size for file in files if file.is_file()) / 1e6


def ours() -> float:
    """Return the MB of what the serving image installs."""
    return sum(megabytes(name) for file in PINS for name in pinned(file))


def of_mlflow() -> float:
    """Install what MLflow needs into a folder; return the MB of it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, f"--target={folder}", "-r", HERE / "rivals" / "mlflow.txt"], check=True)
        files = (file for file in Path(folder).rglob("*") if file.suffix != ".pyc")
        return sum(file.lstat().st_size for file in files if file.is_file()) / 1e6


def main() -> None:
    sizes = {"image": ours()}
    torch = closure(["torch"])
    for name, needed in SERVERS.items():
        sizes[name] = sum(megabytes(package) for package in closure(needed))
    sizes["mlflow_torch"] = of_mlflow() + sum(megabytes(package) for package in torch)
    cuda = sum(megabytes(package) for package in torch if package.startswith(CUDA))
    for name, size in sizes.items():
        has_torch = "torch" in (*SERVERS.get(name, ()), *name.split("_"))
        without = f", {size - cuda:.0f} MB of it without CUDA's own packages" if has_torch else ""
        print(f"  {name:14} {size:7.0f} MB, {size / sizes['image']:5.1f} times ours{without}")
    print(json.dumps({f"{name}_mb": round(size, 1) for name, size in sizes.items()}))


if __name__ == "__main__":
    main()
