"""Pushing an image without the engine, which would write into it when each of its layers was made.

What is above the base is packed again without times, the base's layers are taken as they are, and a
program pushes them. So two builds of the same source have the same digest.
"""

import json
import time

import dagger

from ml_pipeline.environments import MODEL, PROGRAMS, PYTHON, VENV, with_pins, with_programs
from ml_pipeline.manifests import PORT
from ml_pipeline.run import OUTPUT, Run

PACKER = ("stages/pack.py", "stages/publishing/layers.py")
PUSHER = ("stages/push.py", "stages/publishing/**")
# Docker asks it; Kubernetes has the pod's probes instead.
HEALTHCHECK = [
    PYTHON,
    "-c",
    f"from urllib.request import urlopen; urlopen('http://localhost:{PORT}/health', timeout=4)",
]


async def push(
    run: Run, image: dagger.Container, to: str, username: str | None, password: dagger.Secret | None
) -> str:
    """Push an image to https://HOST/NAME:TAG, or http://; return its digest."""
    # The image's settings, and of its layers only the base's: the others come packed.
    base = run.environments.serving(run.project.serve.device)
    exported = image.with_rootfs(base.rootfs()).as_tarball()
    container = (
        run.environments.python()
        .with_(with_pins("publish"))
        .with_(with_programs(*PUSHER))
        .with_mounted_file("/exported.tar", exported)
    )
    arguments = ["--exported=/exported.tar", f"--to={to}", f"--healthcheck={json.dumps(HEALTHCHECK)}"]
    for path in (VENV, PROGRAMS, MODEL):
        container = container.with_mounted_directory(f"/layers{path}", await _packed(run, image, path))
        arguments.append(f"--layer=/layers{path}")
    if username and password:
        container = container.with_mounted_secret("/run/secrets/registry", password)
        arguments += [f"--username={username}", "--password-file=/run/secrets/registry"]
    # What the registry has is never answered from the cache.
    container = container.with_env_variable("ML_CALL", str(time.time_ns()))
    digest: str = (await run.stage("publish", container, "push", arguments)).details["digest"]
    return digest


async def _packed(run: Run, image: dagger.Container, path: str) -> dagger.Directory:
    """Pack a folder of the image; one that did not change is not packed again."""
    container = run.environments.python().with_(with_programs(*PACKER))
    container = container.with_mounted_directory("/folder", image.directory(path))
    arguments = ["--folder=/folder", f"--path={path}", f"--output={OUTPUT}"]
    return (await run.stage(f"pack{path.replace('/', '-')}", container, "pack", arguments)).output
