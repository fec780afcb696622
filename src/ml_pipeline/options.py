"""The options that several functions take: their types, and their help."""

from typing import Annotated

import dagger
from dagger import DefaultPath, Doc, Ignore

Source = Annotated[
    dagger.Directory,
    DefaultPath("/"),
    Ignore(
        [
            "**/__pycache__", "**/*.pyc", "**/.venv*", "**/venv", "**/.tox", "**/.nox", "**/node_modules",
            "**/.mypy_cache", "**/.pytest_cache", "**/.ruff_cache", "**/.hypothesis", "**/.ipynb_checkpoints",
            "**/mlruns",
            ".git/*", "!.git/HEAD", "!.git/packed-refs", "!.git/refs",
        ]
    ),
    Doc("Folder of your project"),
]  # fmt: skip
RegistryAddress = Annotated[
    str | None, Doc("Registry to push the image to, as HOST[:PORT][/PATH]; without it nothing is published")
]
Username = Annotated[str | None, Doc("User name for the registry")]
Password = Annotated[
    dagger.Secret | None, Doc("Password or token for the registry, as env://NAME or file://PATH")
]
Kubeconfig = Annotated[
    dagger.Secret, Doc("Kubeconfig of the cluster, as file://PATH or env://NAME; its current-context is used")
]
OptionalKubeconfig = Annotated[
    dagger.Secret | None, Doc("Kubeconfig of a cluster, as file://PATH or env://NAME")
]
KubeApi = Annotated[
    dagger.Service | None,
    Doc("Kubernetes API server that only this machine can reach, as tcp://localhost:6443"),
]
Actor = Annotated[str, Doc("Who releases, for the history; default: the kubeconfig's user")]
Force = Annotated[bool, Doc("Release a digest again although it was taken back before")]
Reproducible = Annotated[
    bool,
    Doc(
        "Give the same source the same image digest. The engine's containers must reach the registry; "
        "write http://HOST for a registry without https"
    ),
]
NodeCount = Annotated[
    int, Doc("Number of cluster nodes that train together; with 1, training runs in the engine")
]
Baseline = Annotated[
    dagger.Container | None,
    Doc("Image to compare the model with; without it, the image that the cluster runs, if any"),
]
