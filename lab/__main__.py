"""A real Dagger engine, image registry and Kubernetes node on one bare Linux machine.

For machines without a container engine: everything is built from Go modules or installed from Debian
packages, and runs as plain processes. Needs root, Go and apt.

  python3 -m lab up            build what is missing; start the registry and the engine
  python3 -m lab up --cluster  also start Kubernetes (etcd, control plane, one node) with Argo Rollouts
  python3 -m lab env           print the variables that clients need: eval "$(python3 -m lab env)"
  python3 -m lab use           use Docker or Podman if one runs; otherwise the same as up and env
  python3 -m lab down          end every process, and remove every mount, bridge and rule

The state stays in ~/.cache/lab, so a second `up` takes seconds. Set LAB_STATE to keep it elsewhere.
"""

import argparse
import shlex
import sys

from lab import choice, lifecycle, paths
from lab.errors import LabError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, or 1 with one line on stderr that says why and what to do."""
    parser = argparse.ArgumentParser(
        prog="python3 -m lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="build what is missing and start what does not run")
    up.add_argument("--cluster", action="store_true", help="also Kubernetes and Argo Rollouts")
    up.add_argument(
        "--gpu-recorder",
        action="store_true",
        help="switch the engine's GPU support on, with a recorder in place of NVIDIA's hook",
    )
    commands.add_parser("env", help="print the variables that clients need, for eval")
    use = commands.add_parser("use", help="find or start an engine and print the variables, for eval")
    use.add_argument("--cluster", action="store_true", help="also Kubernetes and Argo Rollouts")
    commands.add_parser("down", help="end everything, but keep the state")
    options = parser.parse_args(arguments)
    try:
        if options.command == "env":
            show(lifecycle.environment())
        elif options.command == "use":
            show(choice.use(cluster=options.cluster))
        elif options.command == "down":
            lifecycle.down()
        else:
            lifecycle.up(cluster=options.cluster, gpu_recorder=options.gpu_recorder)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a right that a container's root lacks
        print(f"lab: {error}; the logs are in {paths.LOGS}; fix the cause and run it again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; `up` continues from here, `down` ends what runs", file=sys.stderr)
        return 130
    return 0


def show(environment: dict[str, str]) -> None:
    """Print variables for a shell; PATH is already quoted."""
    for name, value in environment.items():
        print(f"export {name}={value if name == 'PATH' else shlex.quote(value)}")


if __name__ == "__main__":
    sys.exit(main())
