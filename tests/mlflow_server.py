"""A real MLflow server on this machine, which asks who is there.

It lives in a virtual environment of its own, for it wants other versions than the stages pin.
"""

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

ROOT = Path(__file__).parents[1]
PINS = ROOT / "tests" / "mlflow.txt"
HOME = ROOT / ".venv-mlflow"
USERNAME = "tracker"
AUTH = """
[mlflow]
default_permission = READ
database_uri = sqlite:///{folder}/users.db
admin_username = {username}
admin_password = {password}
auth_cache_ttl_seconds = 600
"""
PATIENCE_S = 300  # on a slow machine, beside other tests


@dataclass(frozen=True)
class Mlflow:
    """A server, and who may write there."""

    port: int
    password: str

    @property
    def uri(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """Who asks, as MLflow's own clients read it."""
        return {"MLFLOW_TRACKING_USERNAME": USERNAME, "MLFLOW_TRACKING_PASSWORD": self.password}

    def ask(self, method: str, path: str, /, **fields: Any) -> dict[str, Any]:
        """Ask its REST API."""
        url = f"{self.uri}/api/2.0/mlflow/{path}"
        headers = urllib3.make_headers(basic_auth=f"{USERNAME}:{self.password}")
        sent: dict[str, Any] = {"fields": fields} if method == "GET" else {"json": fields}
        answer = urllib3.request(method, url, headers=headers, **sent)
        assert answer.status == 200, answer.data
        return dict(answer.json())

    def guest(self) -> dict[str, str]:
        """Let someone read; return who, as MLflow's own clients read it."""
        password = secrets.token_urlsafe(16)
        self.ask("POST", "users/create", username=f"guest-{password[:4]}", password=password)
        return {"MLFLOW_TRACKING_USERNAME": f"guest-{password[:4]}", "MLFLOW_TRACKING_PASSWORD": password}

    def runs(self, name: str) -> list[dict[str, Any]]:
        """Return the runs of an experiment, the newest first."""
        experiment = self.ask("GET", "experiments/get-by-name", experiment_name=name)["experiment"]
        return list(
            self.ask("POST", "runs/search", experiment_ids=[experiment["experiment_id"]]).get("runs", [])
        )

    def aliases(self, name: str) -> dict[str, str]:
        model = self.ask("GET", "registered-models/get", name=name)["registered_model"]
        return {entry["alias"]: entry["version"] for entry in model.get("aliases", [])}

    def versions(self, name: str) -> list[dict[str, Any]]:
        """Return the versions of a registered model, the newest first."""
        return list(
            self.ask("GET", "model-versions/search", filter=f"name = '{name}'").get("model_versions", [])
        )

    def client(self, program: str) -> str:
        """Run a program with MLflow's own client; return what it prints."""
        variables = {"MLFLOW_TRACKING_URI": self.uri, **self.variables}
        done = subprocess.run(
            [HOME / "bin" / "python", "-c", program],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Mlflow]:
    """Serve an empty store on a free port, to those who know the password."""
    _install()
    with socket.create_server(("localhost", 0)) as free:
        server = Mlflow(free.getsockname()[1], secrets.token_urlsafe(16))
    (folder / "auth.ini").write_text(AUTH.format(folder=folder, username=USERNAME, password=server.password))
    command: list[str | Path] = [HOME / "bin" / "mlflow", "server", "--app-name=basic-auth", "--workers=1"]
    command += ["--host=127.0.0.1", f"--port={server.port}", "--serve-artifacts"]
    command += [
        f"--backend-store-uri=sqlite:///{folder}/runs.db",
        f"--artifacts-destination={folder}/artifacts",
    ]
    variables = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES": "mlflow-artifacts",  # older servers always do
    }
    log = folder / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            command,
            env={**os.environ, **variables},
            cwd=folder,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        _wait(process, server.port, log)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # it has workers
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", f"http://127.0.0.1:{port}/health", retries=False).status == 200:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def _install() -> None:
    """Make the environment, unless another test has."""
    mark = HOME / "installed"
    with (ROOT / ".venv-mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_text() == PINS.read_text():
            return
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, HOME], check=True)
        install = [uv, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode"]
        subprocess.run([*install, "--python", HOME / "bin" / "python", "-r", PINS], check=True)
        mark.write_text(PINS.read_text())
