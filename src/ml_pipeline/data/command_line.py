"""The arguments that `validate` and `split` share, and how they run."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import polars as pl

from ml_pipeline.common import command_line
from ml_pipeline.common.outcome import StageFailure, run_stage
from ml_pipeline.common.reading import read_settings
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.tables import reason
from ml_pipeline.data.violations import FIX


def parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser of --config, --data and --output."""
    arguments = command_line.parser(program, description)
    arguments.add_argument("--config", required=True, type=Path, help="settings of the data stages, JSON")
    arguments.add_argument("--data", required=True, type=Path, help="folder that their paths are relative to")
    arguments.add_argument("--output", required=True, type=Path, help="folder to write to")
    return arguments


def run(
    stage: str, options: argparse.Namespace, body: Callable[[Settings], Mapping[str, object]]
) -> NoReturn:
    """Run a stage on its settings, and end the process. Errors of Polars become the stage's failure."""

    def with_settings() -> Mapping[str, object]:
        settings = read_settings(Settings, options.config)
        try:
            return body(settings)
        except pl.exceptions.PolarsError as error:
            raise StageFailure(f"{settings.path!r} can't be read: {reason(error)}", FIX) from error

    run_stage(stage, with_settings)
