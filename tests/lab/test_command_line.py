"""The lab's command line, as a shell uses it; no test here starts anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

REPOSITORY = Path(__file__).resolve().parents[2]


def run(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHON": sys.executable} | env,
        check=False,
    )


def test_env_is_read_by_a_shell_whatever_is_in_the_path(tmp_path: Path) -> None:
    state = tmp_path / "a state's folder"
    result = run(
        'eval "$("$PYTHON" -m lab env)" && printf "%s\\n" "${PATH%%:*}" "$KUBECONFIG" '
        '"$_EXPERIMENTAL_DAGGER_RUNNER_HOST"',
        LAB_STATE=str(state),
    )
    assert result.stdout.splitlines() == [
        f"{state}/bin",
        f"{state}/kubeconfig",
        f"unix://{state}/engine.sock",
    ]
    assert not state.exists()  # asking writes nothing


def test_an_unknown_command_is_refused() -> None:
    result = run('"$PYTHON" -m lab start')
    assert result.returncode == 2
    assert "invalid choice: 'start'" in result.stderr


def test_an_error_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    state = tmp_path / ("x" * 80)
    result = run('"$PYTHON" -m lab up', LAB_STATE=str(state))
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    # Root gets the error about the path, others the error that root is needed.
    assert line.startswith("lab: ")
    assert line.endswith(("set LAB_STATE to a shorter one", "run it as root"))
    assert not state.exists()
