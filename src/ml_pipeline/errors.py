"""What a user can be told, as exceptions whose text is one line.

PipelineError
├── ConfigError      the project's [tool.ml-pipeline] can't be used
├── StageError       one stage failed: its name, the cause, what to do
└── StagesError      several stages that ran side by side failed: a line each
"""

from collections.abc import Sequence


class PipelineError(Exception):
    """The base of all; its text is what the command line shows."""


class ConfigError(PipelineError):
    """The configuration is missing, contradicts itself or names what does not exist."""

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(f"config: {cause}; {hint}")


class StageError(PipelineError):
    """A stage failed. `details` holds what it found out all the same."""

    def __init__(self, stage: str, cause: str, hint: str) -> None:
        super().__init__(f"{stage}: {cause}; {hint}" if hint else f"{stage}: {cause}")
        self.stage = stage
        self.cause = cause
        self.hint = hint


class StagesError(PipelineError):
    """Several stages failed; none is hidden behind another."""

    def __init__(self, failures: Sequence[StageError]) -> None:
        super().__init__("\n".join(str(failure) for failure in failures))
        self.failures = tuple(failures)
