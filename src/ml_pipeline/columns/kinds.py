"""The names that modules still import from here, until they use `types` and `polars_types`."""

from ml_pipeline.columns.polars_types import type_of as kind_of
from ml_pipeline.columns.types import NOT_FEATURES as UNTAKEN

__all__ = ["UNTAKEN", "kind_of"]
