"""Start torchrun, with an exit code that says how it failed.

    python -m ml_pipeline.training.torchrun [torchrun's arguments]

Exit codes: 3, a worker failed; 137, a worker was killed; 4, the nodes lost each other.
"""

import ctypes
import importlib
import signal
import sys

FAILED, KILLED, LOST = 3, 137, 4
SIGKILL = -9
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, see prctl(2)


def end_with_parent() -> None:
    """Let the kernel send this process SIGTERM when its parent process ends, even if that was killed."""
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGTERM)


def main() -> None:
    """Run torchrun with the command line's arguments."""
    end_with_parent()
    errors = importlib.import_module("torch.distributed.elastic.multiprocessing.errors")
    agent = importlib.import_module("torch.distributed.run")
    try:
        agent.main(sys.argv[1:])
    except errors.ChildFailedError as failed:
        killed = any(failure.exitcode == SIGKILL for failure in failed.failures.values())
        sys.exit(KILLED if killed else FAILED)
    except Exception as error:  # noqa: BLE001 - torch has many exceptions for a lost connection
        print(f"torchrun: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(LOST)


if __name__ == "__main__":
    main()
