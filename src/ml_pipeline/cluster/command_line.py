"""What programs that act on a cluster share: their options, and what a signal does to them."""

import argparse
import signal
from pathlib import Path

from ml_pipeline.cluster.client import Cluster
from ml_pipeline.cluster.errors import Interrupted
from ml_pipeline.cluster.kubeconfig import read_kubeconfig
from ml_pipeline.common import command_line

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def parser(program: str, description: str | None, settings: str) -> argparse.ArgumentParser:
    """Return a parser of --config, --kubeconfig and --api-server; `settings` names the fields of --config."""
    arguments = command_line.parser(program, description)
    arguments.add_argument(
        "--config", type=Path, required=True, help=f"a JSON file with the fields of {settings}"
    )
    arguments.add_argument(
        "--kubeconfig", type=Path, required=True, help="a kubeconfig; its current-context is used"
    )
    arguments.add_argument(
        "--api-server",
        metavar="URL",
        help="connect to this address; TLS still checks for the host that the kubeconfig names",
    )
    return arguments


def connect(kubeconfig: Path, api_server: str | None, namespace: str) -> Cluster:
    """Return the cluster that the options name. Raises StageFailure."""
    return Cluster(read_kubeconfig(kubeconfig, api_server), namespace)


def fail_on_signals() -> None:
    """From now on, a signal that ends the program raises Interrupted, so that it can clean up."""
    for number in SIGNALS:
        signal.signal(number, _interrupt)


def ignore_signals() -> None:
    """From now on, ignore these signals: what a signal asks for is already being done."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, _frame: object) -> None:
    raise Interrupted(f"interrupted by {signal.Signals(number).name}", "make the same call again")
