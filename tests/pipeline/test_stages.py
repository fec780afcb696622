"""Each stage is declared once: its name, its program, what it writes, and its part of the run's document."""

import importlib
import pkgutil
from collections import Counter
from dataclasses import fields

import pytest

import ml_pipeline
from ml_pipeline.common.document import RunDocument
from ml_pipeline.engine import programs
from ml_pipeline.engine.stage import Stage
from ml_pipeline.pipeline import STAGES
from ml_pipeline.report.stages import DOCUMENTS
from ml_pipeline.training import nodes


def declared() -> set[Stage]:
    """Return the stages of all modules on the engine's side."""
    stages = set[Stage]()
    for module in pkgutil.walk_packages(ml_pipeline.__path__, "ml_pipeline."):
        if "ml_pipeline.engine.stage" in programs.imported(module.name):
            values = vars(importlib.import_module(module.name)).values()
            stages |= {value for value in values if isinstance(value, Stage)}
    return stages


def test_the_pipeline_lists_every_stage_that_a_room_declares() -> None:
    assert declared() - {nodes.TRAIN} == set(STAGES)


def test_no_two_stages_have_one_name() -> None:
    assert [name for name, count in Counter(stage.name for stage in STAGES).items() if count > 1] == []
    assert nodes.TRAIN.name == "train"  # another way to the same


@pytest.mark.parametrize("stage", [*STAGES, nodes.TRAIN], ids=lambda stage: stage.program or stage.name)
def test_a_stage_s_program_can_be_started(stage: Stage) -> None:
    if stage.program:
        text = programs.files(stage.program)[programs.path(stage.program)]
        assert '__name__ == "__main__"' in text


def test_the_parts_of_the_run_s_document_are_written_by_one_stage_each() -> None:
    parts = [stage.part for stage in STAGES if stage.part]
    assert len(parts) == len(set(parts)) == 7
    assert set(parts) <= {field.name for field in fields(RunDocument)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_report_collects_what_stages_write(name: str) -> None:
    stage, path = DOCUMENTS[name]
    assert stage in STAGES
    assert path in stage.writes
