"""The command line of a program."""

import argparse


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser for a module of this package, such as "data.fetch".

    Its help shows the description as it is written, with the lines of an example.
    """
    return argparse.ArgumentParser(
        prog=f"python -m ml_pipeline.{program}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
