import polars as pl

from diabetes.fit import explained
from diabetes.prepare import table


def test_the_measures_explain_some_of_the_progression():
    found = explained(
        table(pl.read_csv("data/diabetes.csv", infer_schema_length=None)), seed=0
    )
    assert len(found) == 5
    assert 0.3 < sum(found) / 5 < 0.6
