"""torchrun, but for how it ends: its exit code tells workers that failed from nodes that lost each other.

python -m ml_pipeline.training.torchrun [torchrun's arguments]
"""

import ctypes
import importlib
import signal
import sys

FAILED, KILLED, LOST = 3, 137, 4
SIGKILL = -9
DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG, see prctl(2)


def end_with_parent() -> None:
    """Have this process told to end (SIGTERM) when the one that started it is gone, killed say."""
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGTERM)


def main() -> None:
    end_with_parent()
    errors = importlib.import_module("torch.distributed.elastic.multiprocessing.errors")
    agent = importlib.import_module("torch.distributed.run")
    try:
        agent.main(sys.argv[1:])
    except errors.ChildFailedError as failed:
        killed = any(failure.exitcode == SIGKILL for failure in failed.failures.values())
        sys.exit(KILLED if killed else FAILED)
    except Exception as error:  # noqa: BLE001 - torch has many kinds of a lost connection
        print(f"torchrun: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(LOST)


if __name__ == "__main__":
    main()
