"""The images that the lab makes: a Python base image, the engine's SDKs, the pause image of pods.

The registry stands in for docker.io: its Python images are Debian's Python under the official
names that modules ask for.
"""

import shutil
from pathlib import Path

from lab import oci, packages, tools
from lab.paths import BIN, HERE, REGISTRY, STATE, files_below, fingerprint, link, replace_folder
from lab.steps import run, temporary, timed

# Certificates that this machine trusts beside Debian's own, such as a proxy's.
CERTIFICATES = Path("/usr/local/share/ca-certificates")
SUITE = "trixie"  # its Python is 3.13
INCLUDED = "ca-certificates,python3,python3-venv,python3-pip,git"
PYTHON_NAMES = ("library/python:3.13-slim", "pytorch/pytorch:2.9.0-cuda12.8-cudnn9-runtime")
PAUSE_NAME = "pause:lab"
PYTHON_SDK = HERE / "sdk" / "python"
CONTENT = STATE / "content"  # the path in go/engine/consts
GO_ENVIRONMENT = {"GOPATH": "/go", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GONOSUMDB": "*"}


def python() -> Path:
    """Return the layout of the Python image; make it with debootstrap if it does not exist.

    It trusts the certificates that this machine trusts. (The engine could add them to every container
    instead, but with two more containers around each command, which takes longer than most commands.)
    """
    trusted = sorted(CERTIFICATES.glob("*.crt"))
    key = fingerprint(CERTIFICATES, trusted, SUITE, INCLUDED)
    layout = STATE / "layouts" / f"python-{key}"
    if layout.exists():
        return layout
    with timed("making the Python image from Debian's packages, about a minute"), temporary("python") as made:
        root = made / "root"
        options = ["--variant=minbase", f"--include={INCLUDED}", SUITE]
        command = ["debootstrap", *options, str(root), packages.debian_mirror()]
        run(command, log="debootstrap", what="debootstrap", contained=True)
        (root / "usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        for certificate in trusted:
            shutil.copy(certificate, root / CERTIFICATES.relative_to("/"))
        if trusted:
            run(["chroot", root, "update-ca-certificates"], log="debootstrap", what="update-ca-certificates")
        shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
        for package in root.glob("var/cache/apt/archives/*.deb"):
            package.unlink()
        oci.write_layout(made / "layout", [oci.pack(root, made / "layer.tar.gz")])
        replace_folder(made / "layout", layout)
    for other in layout.parent.glob("python-*"):
        if other != layout:
            shutil.rmtree(other, ignore_errors=True)
    return layout


def push_python() -> None:
    """Push the Python image to the registry under each name."""
    for name in PYTHON_NAMES:
        oci.push(python(), REGISTRY, name)


def push_pause() -> None:
    """Push the image that keeps a pod's namespaces open to the registry."""
    layout = STATE / "layouts" / f"pause-{tools.CLUSTER.version}"
    if not layout.exists():
        with temporary("pause") as made:
            root = made / "root"
            root.mkdir()
            shutil.copy2(BIN / "pause", root / "pause")
            layer = oci.pack(root, made / "layer.tar.gz", root_owned=True)
            oci.write_layout(made / "layout", [layer], entrypoint="/pause")
            replace_folder(made / "layout", layout)
    oci.push(layout, REGISTRY, PAUSE_NAME)


def sdk_content() -> Path:
    """Return the folder with the engine's built-in content: the Go and Python SDKs' images."""
    base = python()
    parts = [tools.ENGINE.version, base.name, str(GO_ENVIRONMENT)]
    key = fingerprint(PYTHON_SDK, files_below(PYTHON_SDK), *parts)
    content = STATE / "contents" / key
    if content.exists():
        return content
    with timed("making the SDKs' images"), temporary("sdk") as made:
        root = made / "go"
        (root / "usr/local/bin").mkdir(parents=True)
        run(["cp", "-a", tools.go_root(), root / "usr/local/go"], log="images", what="copying Go")
        shutil.copy2(BIN / "codegen", root / "usr/local/bin/codegen")
        for folder in ("go/pkg/mod", "root/.cache/go-build"):
            (root / folder).mkdir(parents=True)
        (root / "root").chmod(0o700)
        layer = oci.pack(root, made / "go.tar.gz", root_owned=True)
        oci.write_layout(made / "go-sdk", [*oci.layers_of(base), layer], env=GO_ENVIRONMENT)
        runtime = oci.pack(PYTHON_SDK, made / "python.tar.gz", root_owned=True)
        oci.write_layout(made / "python-sdk", [runtime])
        oci.merge_layouts([made / "go-sdk", made / "python-sdk"], made / "content")
        (made / "content" / "go").write_text(oci.digest_of(made / "go-sdk"))
        (made / "content" / "python").write_text(oci.digest_of(made / "python-sdk"))
        replace_folder(made / "content", content)
    return content


def sdk_variables(content: Path) -> dict[str, str]:
    """Return the variables that tell the engine where the SDKs are in its content."""
    return {
        "DAGGER_GO_SDK_MANIFEST_DIGEST": (content / "go").read_text(),
        "DAGGER_PYTHON_SDK_MANIFEST_DIGEST": (content / "python").read_text(),
    }


def use_content(content: Path) -> None:
    """Link content to where the next engine looks for it, and delete older content."""
    if CONTENT.is_dir() and not CONTENT.is_symlink():
        shutil.rmtree(CONTENT)
    link(content, CONTENT)
    for other in content.parent.iterdir():
        if other != content:
            shutil.rmtree(other, ignore_errors=True)
