"""Pushes an image without the engine, which would write into it when each of its layers was made.

The files above the base are packed again without times, the base's layers stay as they are, and a program
pushes them. So two builds of the same source have the same digest.
"""

import json
import time
from dataclasses import replace

import dagger

from ml_pipeline.engine.environments import with_pins, with_programs
from ml_pipeline.engine.paths import OUTPUT, PROGRAMS, PYTHON, VENV
from ml_pipeline.engine.run import Run
from ml_pipeline.engine.stage import Stage
from ml_pipeline.serving.contract import MODEL, PORT

PACK = Stage("pack", "ml_pipeline.publishing.pack", ("a folder of the image",), ("layer.json",))
PUBLISH = Stage("publish", "ml_pipeline.publishing.push", ("the image",))
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
        .with_(with_programs(PUBLISH.program))
        .with_mounted_file("/exported.tar", exported)
    )
    arguments = ["--exported=/exported.tar", f"--to={to}", f"--healthcheck={json.dumps(HEALTHCHECK)}"]
    for path in (VENV, PROGRAMS, MODEL):
        container = container.with_mounted_directory(f"/layers{path}", await _packed(run, image, path))
        arguments.append(f"--layer=/layers{path}")
    if username and password:
        container = container.with_mounted_secret("/run/secrets/registry", password)
        arguments += [f"--username={username}", "--password-file=/run/secrets/registry"]
    # What the registry has must not come from the cache.
    container = container.with_env_variable("ML_CALL", str(time.time_ns()))
    return str((await run.stage(PUBLISH, container, arguments)).details["digest"])


async def _packed(run: Run, image: dagger.Container, path: str) -> dagger.Directory:
    """Pack a folder of the image; one that did not change is not packed again."""
    container = run.environments.python().with_(with_programs(PACK.program))
    container = container.with_mounted_directory("/folder", image.directory(path))
    arguments = ["--folder=/folder", f"--path={path}", f"--output={OUTPUT}"]
    stage = replace(PACK, name=f"{PACK.name}{path.replace('/', '-')}")
    return (await run.stage(stage, container, arguments)).output
