import json
from collections import Counter
from pathlib import Path

from wine.bottles import question, read

BOTTLES = read(Path(__file__).parents[1] / "data" / "wine.csv")


def test_every_cultivar_is_there():
    counted = Counter(cultivar for _, cultivar in BOTTLES)
    assert counted == {"barolo": 59, "grignolino": 71, "barbera": 48}


def test_a_question_holds_measures_and_no_answer():
    bottle, _ = BOTTLES[0]
    (row,) = json.loads(question([bottle]))["instances"]
    assert row["alcohol"] == 14.23
    assert "cultivar" not in row
