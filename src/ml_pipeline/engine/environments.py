"""Containers that stages run in: base images, installed pins, programs; Container -> Container.

Layers go from what changes least to what changes most: base image, uv, pins,
programs. A stage's inputs come after all of these.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagger
from dagger import dag

from ml_pipeline.engine import programs
from ml_pipeline.engine.paths import PROGRAMS, VENV
from ml_pipeline.errors import ConfigError

UV = "uv==0.9.9"
EXTRA_INDEX = "UV_INDEX"  # uv looks there first, and takes nothing elsewhere that it finds there
AT_HAND = Path("module")  # in the working directory of this module's container
MODIFIED = 315_619_200  # 2 January 1980, in seconds since 1970: the first day that every archive can hold
DATA_CREDENTIALS = "/run/secrets/aws"

Step = Callable[[dagger.Container], dagger.Container]


@dataclass(frozen=True)
class Environments:
    """What the caller chose: images, index, GPU."""

    python_image: str
    training_image: str
    gpu: str
    package_index: str | None
    extra_index: dagger.Secret | None
    data_credentials: dagger.Secret | None

    def __post_init__(self) -> None:
        if "@" in (self.package_index or "").partition("://")[2].partition("/")[0]:
            hint = "pass the whole URL as a secret, --extra-index=env://VARIABLE"
            raise ConfigError("--package-index has credentials, which every container would show", hint)

    def python(self, image: str | None = None) -> dagger.Container:
        """Return a slim Python with uv and an empty virtual environment."""
        return dag.container().from_(image or self.python_image).with_(self._virtual_environment)

    def tables(self) -> dagger.Container:
        """Return a Python with polars, numpy and ONNX Runtime."""
        return self.python().with_(with_pins("model", "data"))

    def training(self) -> dagger.Container:
        """Return the CUDA PyTorch image; its own packages stay visible in the virtual environment."""
        return dag.container().from_(self.training_image).with_(self._virtual_environment)

    def serving(self, device: str) -> dagger.Container:
        """Return what the serving image is built on: for "cuda" the training image, whose torch it shares."""
        return dag.container().from_(self.training_image if device == "cuda" else self.python_image)

    def with_folder(self, view: dagger.Directory, path: str) -> Step:
        """Add a folder by a command, so that the cache knows the result by the folder's content.

        A Directory is known by how it came to be: after any edit of the source a filtered one would
        be another, and all that reads it would run again. A file out of a Directory is known by its
        content, so the folder goes through one.
        """
        pack = ["tar", "--create", "--file=/packed/view.tar", "--directory=/view", "--sort=name"]
        pack += ["--owner=0", "--group=0", "--numeric-owner", f"--mtime=@{MODIFIED}", "."]
        packed = (
            dag.container()
            .from_(self.python_image)
            .with_mounted_directory("/view", view)
            .with_directory("/packed", dag.directory())
            .with_exec(pack)
            .directory("/packed")
            .file("view.tar")
        )

        def step(container: dagger.Container) -> dagger.Container:
            unpack = ["tar", "--extract", "--file=/view.tar", f"--directory={path}", "--no-same-owner"]
            return (
                container.with_mounted_file("/view.tar", packed)
                .with_directory(path, dag.directory())
                .with_exec(unpack)
                .without_mount("/view.tar")
            )

        return step

    def _virtual_environment(self, container: dagger.Container) -> dagger.Container:
        container = (
            container.with_file("/usr/local/bin/uv", self._uv())
            .with_env_variable("UV_LINK_MODE", "copy")
            .with_env_variable("UV_COMPILE_BYTECODE", "1")
            # Certificates that the machine trusts, such as a company's, are trusted here.
            .with_env_variable("UV_NATIVE_TLS", "1")
            .with_env_variable("VIRTUAL_ENV", VENV)
            .with_exec(["uv", "venv", "--quiet", "--system-site-packages", "--python", "python3", VENV])
            .with_env_variable("PATH", f"{VENV}/bin:$PATH", expand=True)
            .with_env_variable("PYTHONUNBUFFERED", "1")
        )
        if self.package_index:
            container = container.with_env_variable("UV_DEFAULT_INDEX", self.package_index)
        if self.extra_index:
            container = container.with_secret_variable(EXTRA_INDEX, self.extra_index)
        return container

    def without_index(self, container: dagger.Container) -> dagger.Container:
        """Take away what only installing needed: what runs afterwards is the project's own code."""
        return container.without_secret_variable(EXTRA_INDEX) if self.extra_index else container

    def with_data_credentials(self, container: dagger.Container) -> dagger.Container:
        """Let AWS's libraries find the caller's file and nothing else, such as the machine's own role."""
        container = container.with_env_variable("AWS_EC2_METADATA_DISABLED", "true")
        if not self.data_credentials:
            return container
        return (
            container.with_mounted_secret(DATA_CREDENTIALS, self.data_credentials)
            .with_env_variable("AWS_SHARED_CREDENTIALS_FILE", DATA_CREDENTIALS)
            .with_env_variable("AWS_CONFIG_FILE", DATA_CREDENTIALS)
        )

    def _uv(self) -> dagger.File:
        pip = ["python3", "-m", "pip", "install", "--quiet", "--no-cache-dir", "--root-user-action=ignore"]
        if self.package_index:
            pip.append(f"--index-url={self.package_index}")
        return (
            dag.container()
            .from_(self.python_image)
            .with_exec([*pip, "--target=/opt/uv", UV])
            .file("/opt/uv/bin/uv")
        )


def own_file(path: str) -> dagger.File:
    """Return a file of this module by its path from the repository's root, known by its content."""
    return dag.current_module().workdir_file(_at_hand(path))


def _at_hand(path: str) -> str:
    """Copy a file of this module to where the engine takes files of its container from; return that path.

    As files of `current_module().source()` they would be known by the caller's folder, of which each clone
    of a repository on one engine has another. Times are always the same, or a pushed image would have
    another digest after each call.
    """
    copy = AT_HAND / path
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(programs.ROOT / path, copy)
        for each in (copy, *copy.parents[:-1]):
            os.utime(each, (MODIFIED, MODIFIED))
    return str(copy)


def with_pins(*names: str) -> Step:
    """Install the module's own pins: "model" is requirements-model.txt, others are in requirements/.

    The lists are whole, so nothing is resolved.
    """

    def step(container: dagger.Container) -> dagger.Container:
        # Bytecode stays valid when a layer gives its source another time.
        container = container.with_env_variable("PYC_INVALIDATION_MODE", "UNCHECKED_HASH")
        command = ["uv", "pip", "install", "--quiet", "--no-deps"]
        targets = []
        for name in names:
            target = f"/requirements/{name}.txt"
            container = container.with_mounted_file(target, own_file(programs.pins(name)))
            targets.append(target)
            command += ["-r", target]
        container = container.with_(with_uv_cache).with_exec(command).without_mount("/root/.cache/uv")
        for target in targets:
            container = container.without_mount(target)
        return container

    return step


def with_torch(container: dagger.Container) -> dagger.Container:
    """Give torch a layer of its own, unless the base image has that version already.

    Without uv's cache: kept there too, its 7 GB would be on the disk twice.
    """
    pin = "/requirements/torch.txt"
    script = (
        f"python -c \"import importlib.metadata as m, sys; v = m.version('torch').split('+')[0]; "
        f"sys.exit(f'torch=={{v}}' != open('{pin}').read().strip())\" 2>/dev/null "
        f"|| uv pip install --quiet --no-cache -r {pin}"
    )
    return (
        container.with_mounted_file(pin, own_file(programs.pins("torch")))
        .with_exec(["sh", "-c", script])
        .without_mount(pin)
    )


def program_files(*modules: str) -> dagger.Directory:
    """Return what these modules of the package need, and nothing else: an edit elsewhere reruns nothing."""
    files = list(programs.files(*modules))
    for file in files:
        _at_hand(f"src/{file}")
    return dag.current_module().workdir(str(AT_HAND / "src"), include=files)


def with_programs(*modules: str) -> Step:
    """Add the files of these modules of the package, and let Python find them."""
    folder = program_files(*modules)

    def step(container: dagger.Container) -> dagger.Container:
        return (
            container.with_directory(PROGRAMS, folder)
            .with_env_variable("PYTHONPATH", PROGRAMS)
            .with_env_variable("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime reports home unless told not to
        )

    return step


def with_uv_cache(container: dagger.Container) -> dagger.Container:
    return container.with_mounted_cache("/root/.cache/uv", dag.cache_volume("ml-pipeline-uv"))
