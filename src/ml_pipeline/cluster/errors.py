"""How a request to a cluster fails; each error is one line, with its hint.

StageFailure
├── Interrupted   a signal ended the program
├── Unreachable   no answer, or one that asks to try again
│   └── NoAnswer  a pod did not answer in time, and the API server works
└── Refused       the API server's answer is an error
"""

from dataclasses import dataclass

from ml_pipeline.common.outcome import StageFailure


@dataclass(frozen=True)
class Conflict:
    """A field, as the API server writes its path, and the manager who set it to another value."""

    field: str
    manager: str


class Interrupted(StageFailure):
    """A signal asked the program to end."""


class Unreachable(StageFailure):
    """No answer came from the API server, or one that asks to try again."""


class NoAnswer(Unreachable):
    """A pod did not answer in time, although the API server works."""


class Refused(StageFailure):
    """The API server answered, and the answer is an error; `code` is HTTP's.

    `conflicts` are the fields that another manager owns, where that is the reason.
    """

    def __init__(self, cause: str, hint: str, code: int, conflicts: tuple[Conflict, ...] = ()) -> None:
        super().__init__(cause, hint)
        self.code = code
        self.conflicts = conflicts
