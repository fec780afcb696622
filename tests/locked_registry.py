"""A real registry that asks who is there."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from lab import packages

USERNAME = "me"
PASSWORD = "open sesame"  # noqa: S105 - of the registry below
# That password, as bcrypt has it.
USERS = "me:$2b$04$coQlAeA5hXFnumEqK2zWKe45FJEeX11HGqntZKPNLiga9yjqOAwxq\n"
CONFIG = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/content}}}}
http: {{addr: "{address}"}}
auth: {{htpasswd: {{realm: locked, path: {folder}/users}}}}
"""


@contextlib.contextmanager
def serving(folder: Path, host: str) -> Iterator[str]:
    """Run one where one user may push and pull; yield HOST:PORT. The lab has installed the program."""
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    address = f"{host}:{port}"
    (folder / "users").write_text(USERS)
    (folder / "registry.yml").write_text(CONFIG.format(folder=folder, address=address))
    command = [packages.program("docker-registry"), "serve", folder / "registry.yml"]
    with (folder / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
                break
            time.sleep(0.1)
        yield address
        process.terminate()
