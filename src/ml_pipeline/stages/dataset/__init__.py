"""What the data stage does, by noun: tables, kinds, schema, target, quality, leakage, drift, split."""

import polars as pl

# A table may be larger than memory: no query takes more of it at a time than it needs.
pl.Config.set_engine_affinity("streaming")
