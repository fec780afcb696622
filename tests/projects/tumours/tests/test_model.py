import numpy as np
from onnx.reference import ReferenceEvaluator

from tumours.model import fit, graph

COLUMNS = ["a", "b"]


def some_rows():
    rows = np.random.default_rng(0).normal([5, -3], [2, 0.5], size=(200, 2))
    return rows, (rows[:, 0] > 5).astype(float)


def test_the_loss_falls_and_the_column_that_decides_weighs_most():
    model, losses = fit(*some_rows(), steps=200, learning_rate=0.5)
    assert losses[-1] < losses[0] / 2
    assert abs(model.weights[0]) > abs(model.weights[1])


def test_the_graph_answers_as_the_model_does():
    rows, answers = some_rows()
    model, _ = fit(rows, answers, steps=200, learning_rate=0.5)
    session = ReferenceEvaluator(graph(model, COLUMNS, ["no", "yes"]))
    inputs = {name: rows[:, i].astype("float32") for i, name in enumerate(COLUMNS)}
    labels, chances = session.run(None, inputs)
    expected = 1 / (1 + np.exp(-(rows @ model.weights + model.bias)))
    np.testing.assert_allclose(chances[:, 1], expected, atol=1e-5)
    assert list(labels) == ["yes" if chance > 0.5 else "no" for chance in expected]
    assert np.mean((labels == "yes") == answers) > 0.95
