import joblib
import polars as pl

from flowers import predictor, train


def test_the_predictor_answers_as_the_model_does(tmp_path, monkeypatch):
    frame = pl.read_csv("data/iris.csv")
    frame.write_parquet(tmp_path / "train.parquet")
    for name, value in {
        "DATA": tmp_path / "train.parquet",
        "OUTPUT": tmp_path,
        "SEED": 0,
    }.items():
        monkeypatch.setenv(f"ML_{name}", str(value))
    train.main()
    predictor.load(str(tmp_path))
    rows = frame.drop("species").to_dicts()
    answer = predictor.predict(rows)
    model = joblib.load(tmp_path / "model.joblib")
    assert (
        answer["predictions"]
        == model.predict(frame.drop("species").to_numpy()).tolist()
    )
    assert answer["probabilities"].shape == (150, 3)
