"""Does the table give the target away? A model that relies on a leak is good on the holdout alone."""

from collections.abc import Iterator, Mapping

import polars as pl

from ml_pipeline.columns.types import CATEGORICAL, ORDERED, TableType
from ml_pipeline.data.oddities import row_hash
from ml_pipeline.data.settings import Settings
from ml_pipeline.data.violations import Violation

BINS, ROWS_A_BIN = 256, 20
SAMPLE = 100_000
ENOUGH = 100  # rows in each half, below which a score is luck
HALF, CODE, TARGET = "\x1fhalf", "\x1fbinned value", "\x1ftarget"  # no column's name has \x1f


def scores(frame: pl.LazyFrame, features: Mapping[str, TableType], settings: Settings) -> dict[str, float]:
    """Return how well each feature alone predicts the target, 0 (no better than none) to 1.

    One half of the rows gives each value (numbers in bins of equal share, 256 at most) its most frequent
    class, or its mean; the other half is predicted from that. The score is the share of the errors
    that it saves against using no feature (Goodman and Kruskal's lambda, J. Am. Stat. Assoc. 49,
    1954), or of the squares (R²). Judged on other rows, a key that repeats nothing scores 0.
    100,000 rows, drawn by a hash of their number, are enough.
    """
    saved = {}
    every = -(-frame.select(pl.len()).collect().item() // SAMPLE)
    drawn = pl.int_range(pl.len()).hash(1) % every == 0
    target = pl.col(settings.target)
    half = (pl.int_range(pl.len()).hash(0) % 2 == 0).alias(HALF)
    base = frame.select(target.alias(TARGET)).filter(drawn).with_columns(half).collect()
    for name, column_type in features.items():
        column = pl.col(name)
        chosen = frame.select(name).filter(drawn).collect()
        if column_type in ORDERED:
            # Equal values have equal ranks, so they share a bin.
            rank = column.to_physical().rank("min").cast(pl.Float64)
            bins = (column.count() / ROWS_A_BIN).clip(1, BINS)
            column = ((rank - 1) * bins / column.count()).floor()
        elif column_type not in CATEGORICAL:
            continue
        codes = chosen.lazy().select(column.alias(CODE)).collect(engine="in-memory")
        rows = base.with_columns(codes[CODE]).lazy().filter(pl.col(TARGET).is_not_null())
        score = _by_class(rows) if settings.task == "classification" else _by_mean(rows)
        saved[name] = max(0.0, score)
    return saved


def _by_class(rows: pl.LazyFrame) -> float:
    counted = rows.group_by(HALF, CODE, TARGET).len().collect(engine="in-memory")
    learned, judged = (counted.filter(pl.col(HALF) == half) for half in (True, False))
    if min(learned["len"].sum(), judged["len"].sum()) < ENOUGH:
        return 0.0
    overall = (
        learned.group_by(TARGET).agg(pl.col("len").sum()).sort("len", TARGET, descending=True)[TARGET][0]
    )
    best = (
        learned.sort("len", TARGET, descending=True).unique(CODE, keep="first").select(CODE, predicted=TARGET)
    )
    joined = judged.join(best, on=CODE, how="left", nulls_equal=True).with_columns(
        pl.col("predicted").fill_null(overall)
    )
    wrong = int(joined.filter(pl.col("predicted") != pl.col(TARGET))["len"].sum())
    wrong_anyway = int(joined.filter(pl.col(TARGET) != overall)["len"].sum())
    return 1 - wrong / wrong_anyway if wrong_anyway else 0.0


def _by_mean(rows: pl.LazyFrame) -> float:
    value = pl.col(TARGET).cast(pl.Float64)
    sums = rows.group_by(HALF, CODE).agg(
        n=pl.len(), total=value.sum(), squares=(value**2).sum()
    ).collect(engine="in-memory")  # fmt: skip
    learned, judged = (sums.filter(pl.col(HALF) == half) for half in (True, False))
    if min(learned["n"].sum(), judged["n"].sum()) < ENOUGH:
        return 0.0
    overall = float(learned["total"].sum()) / int(learned["n"].sum())
    means = learned.select(CODE, predicted=pl.col("total") / pl.col("n"))
    joined = judged.join(means, on=CODE, how="left", nulls_equal=True).with_columns(
        pl.col("predicted").fill_null(overall)
    )
    error = float(joined.select(_squares(pl.col("predicted"))).sum().item())
    anyway = float(joined.select(_squares(pl.lit(overall))).sum().item())
    return 1 - error / anyway if anyway > 0 else 0.0


def _squares(predicted: pl.Expr) -> pl.Expr:
    return pl.col("squares") - 2 * predicted * pl.col("total") + pl.col("n") * predicted**2


def predictive(scores: Mapping[str, float], limit: float, target: str) -> Iterator[Violation]:
    """Yield the features whose score reaches the limit."""
    for name, score in sorted(scores.items(), key=lambda item: -item[1]):
        if score >= limit:
            message = (
                f"column {name!r} alone predicts {score:.1%} of target {target!r}: is it available in time?"
            )
            yield Violation(name, "predicts_target", message, share=score)


def shared(train: pl.LazyFrame, holdout: pl.LazyFrame, limit: float) -> Iterator[Violation]:
    """Yield a violation where more than a share of the holdout's rows are training rows too."""
    names = [name for name in train.collect_schema().names() if name in holdout.collect_schema().names()]
    row = row_hash(names).alias(CODE)
    seen = train.select(row).unique()
    rows = holdout.select(pl.len()).collect().item()
    count = holdout.select(row).join(seen, on=CODE, how="semi").select(pl.len()).collect().item()
    if count > limit * rows:
        message = f"{count:,} of {rows:,} holdout rows are in the training data too"
        yield Violation("", "shared_rows", message, count, count / rows)


def shared_groups(train: pl.LazyFrame, holdout: pl.LazyFrame, group: str | None) -> Iterator[Violation]:
    """Yield a violation where rows of one group are in the training data and in the holdout."""
    if not group or group not in holdout.collect_schema():
        return
    groups = holdout.select(group).unique()
    both = groups.join(train.select(group).unique(), on=group, how="semi").select(pl.len()).collect().item()
    if both:
        message = f"{both:,} values of group {group!r} are in the holdout and in the training data"
        yield Violation(group, "shared_rows", message, both)


def out_of_order(train: pl.LazyFrame, holdout: pl.LazyFrame, time: str | None) -> Iterator[Violation]:
    """Yield a violation where `time` orders the rows and the holdout begins before the training data ends."""
    if not time:
        return
    last, first = (frame.select(value).collect().item() for frame, value in
                   ((train, pl.col(time).max()), (holdout, pl.col(time).min())))  # fmt: skip
    if last is not None and first is not None and first < last:
        message = f"the holdout begins at {time!r} = {first}, before the training data ends at {last}"
        yield Violation(time, "time_order", message)
