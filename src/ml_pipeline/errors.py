"""The errors that a user sees, as exceptions whose text is one line.

PipelineError
├── ConfigError      the project's [tool.ml-pipeline] or an option can't be used
├── StageError       one stage failed: its name, the cause, what to do
└── StagesError      several stages that ran side by side failed: a line each
"""

from collections.abc import Sequence


class PipelineError(Exception):
    """The base of all; its text is what the command line shows."""


class StageError(PipelineError):
    """A stage failed. `cause` says what is wrong, `hint` what to do; each is one line."""

    def __init__(self, stage: str, cause: str, hint: str) -> None:
        super().__init__(f"{stage}: {cause}; {hint}" if hint else f"{stage}: {cause}")
        self.stage = stage
        self.cause = cause
        self.hint = hint


class ConfigError(PipelineError):
    """The configuration is missing, contradicts itself or names what does not exist."""

    def __init__(self, cause: str, hint: str) -> None:
        super().__init__(f"config: {cause}; {hint}")
        self.cause = cause
        self.hint = hint


class StagesError(PipelineError):
    """Several stages failed; no failure hides another."""

    def __init__(self, failures: Sequence[StageError]) -> None:
        super().__init__("\n".join(str(failure) for failure in failures))
        self.failures = tuple(failures)
