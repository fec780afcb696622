"""How a request to a cluster fails; each error is one line, with its hint.

StageFailure
├── Unreachable   no answer, or one that asks to try again
└── Refused       the API server's answer is an error
"""

from ml_pipeline.common.outcome import StageFailure


class Unreachable(StageFailure):
    """No answer came from the API server, or one that asks to try again."""


class Refused(StageFailure):
    """The API server answered, and the answer is an error; `code` is HTTP's."""

    def __init__(self, cause: str, hint: str, code: int) -> None:
        super().__init__(cause, hint)
        self.code = code
