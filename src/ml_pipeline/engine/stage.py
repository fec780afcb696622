"""What a stage is, declared once: the summary, the log, the report and the documents use this name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    `program` is the module that does it, as ml_pipeline.data.validate; "" where the engine itself does.
    `reads` says what it is given; `writes` names the files that it leaves in its output folder.
    """

    name: str
    program: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
