"""By how much a new release may be worse than the old one in production; keys of [deploy.tolerances]."""

from dataclasses import dataclass
from typing import Annotated

from ml_pipeline.common.reading import Bounds

Share = Annotated[float, Bounds(minimum=0, maximum=1)]


@dataclass(frozen=True)
class Tolerances:
    """[deploy.tolerances]: differences of rates, new less old, that the watch after a release accepts."""

    # Of answers that are errors.
    errors: Share = 0.02
    # Of answers that are slower than 95 % of the old release's.
    slow: Share = 0.1
    # Of each class among the predictions. 1: any difference is accepted.
    classes: Share = 0.2
