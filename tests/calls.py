"""`dagger call` as its users type it, on copies of the test projects."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from ml_pipeline.engine import crashes
from tests import engine_lock

ROOT = Path(__file__).parents[1]
PROJECTS = ROOT / "tests" / "projects"
AGAIN = 3  # times to call, if another worker's call takes the files of this one away
LOST = crashes.ENDED, crashes.ANOTHER_FOLDER
UNCOPIED = shutil.ignore_patterns("__pycache__", ".*cache", ".venv")


@dataclass(frozen=True)
class Answer:
    """The outcome of a call: its exit code, its result (stdout) and its log (stderr)."""

    code: int
    out: str
    log: str

    @property
    def record(self) -> dict[str, Any]:
        """Return the JSON that a successful call printed."""
        assert self.code == 0, self.errors
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def errors(self) -> list[str]:
        """Return the error's lines at the end of a failed call, without what Dagger adds around them."""
        _, marker, text = self.log.rpartition("\nError: ")
        text = text.removeprefix("FunctionError: ").partition(" [traceparent:")[0]
        return text.rstrip().splitlines() if marker else []


@dataclass(frozen=True)
class Dagger:
    """The command line of Dagger, with this repository, or another version of it, as its module."""

    environment: Mapping[str, str]
    timeout: float = 600  # seconds
    module: Path = ROOT

    def command(self, source: Path, function: str, *words: str, options: Sequence[str] = ()) -> list[str]:
        """Return the words of a call; `options` are the module's own, such as --gpu=off."""
        module = ["dagger", "--progress=plain", "call", "-m", str(self.module), *options]
        return [*module, function, f"--source={source}", *words]

    def call(self, source: Path, function: str, *words: str, options: Sequence[str] = ()) -> Answer:
        """Call a function on a project and wait for its end.

        Workers share an engine and copy the same projects, so one of them may be told to call again.
        """
        command = self.command(source, function, *words, options=options)
        for _ in range(AGAIN):
            answer = self._run(command, source)
            if answer.code == 0 or not any(text in answer.log for text in LOST):
                break
        return answer

    def core(self, *words: str) -> Answer:
        """Ask the engine itself about a container, such as `from --address=IMAGE publish --address=COPY`."""
        return self._run(["dagger", "--progress=plain", "core", "container", *words], ROOT)

    def _run(self, command: Sequence[str], folder: Path) -> Answer:
        with engine_lock.shared():
            done = subprocess.run(
                command,
                env=self.variables,
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=self.timeout,
                check=False,
            )
        return Answer(done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def start(self, source: Path, function: str, *words: str) -> "Iterator[subprocess.Popen[str]]":
        """Start a call whose log is read while it runs, from the process's stderr; wait for its end."""
        command = self.command(source, function, *words)
        pipes: dict[str, int] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with (
            engine_lock.shared(),
            subprocess.Popen(command, env=self.variables, cwd=source, text=True, **pipes) as process,
        ):
            yield process

    @property
    def variables(self) -> dict[str, str]:
        return {**os.environ, **self.environment}


@dataclass(frozen=True)
class Project:
    """A copy of a test project, which a test may change."""

    path: Path

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file; create it and its folder if needed."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a text that is in the file exactly once."""
        text = (self.path / name).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
        self.write(name, text.replace(old, new))

    def train_anew(self) -> None:
        """Change its training command so that no engine has it in its cache; it does the same as before."""
        name, start = "ml-pipeline.toml", 'command = "'
        line = next(line for line in (self.path / name).read_text().splitlines() if line.startswith(start))
        self.replace(name, line, line.removesuffix('"') + f'  # {uuid.uuid4()}"')

    def remove(self, name: str) -> None:
        """Remove a file or a folder."""
        path = self.path / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def copy(name: str, target: Path) -> Project:
    """Copy a test project into a new folder."""
    shutil.copytree(PROJECTS / name, target, ignore=UNCOPIED)
    return Project(target)


def fact(answer: Answer, label: str) -> str:
    """Return what the summary's first table says."""
    found = re.search(rf"^\| {label} \| `(.*)` \|$", answer.out, re.MULTILINE)
    assert found, answer.out
    return found[1]


def stages(markdown: str) -> dict[str, str]:
    """Return stage → time ("cached", "0.4 s") from the table of stages in a summary."""
    _, _, table = markdown.partition("### Stages\n")
    rows = [line.split("|") for line in table.partition("\n###")[0].splitlines() if line.startswith("|")]
    return {cells[2].strip(): cells[3].strip() for cells in rows[2:]}


def ask(url: str, document: Any, patience_s: float = 20) -> Any:
    """POST a document until a server answers; return the answer's document."""
    deadline = time.monotonic() + patience_s
    with urllib3.PoolManager(retries=False, timeout=10) as http:
        while True:
            try:
                answer = http.request("POST", url, json=document)
            except urllib3.exceptions.HTTPError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)
            else:
                assert answer.status == 200, answer.data
                return answer.json()
