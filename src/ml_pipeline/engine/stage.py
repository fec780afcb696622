"""What a stage is, declared once: the summary, the log, the report and the documents use this name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    `program` is the module that does the work, as ml_pipeline.data.validate; "" where the engine itself does.
    `reads` and `writes` name its inputs and the files in its output folder. `part` is the part of the run's
    document that its details are (see common/document.py); "" where the document does not have them.
    """

    name: str
    program: str = ""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    part: str = ""
