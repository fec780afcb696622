"""BentoML, one worker, over ONNX Runtime."""

from typing import Any

import bentoml

from rivals.session import Session


@bentoml.service(workers=1, traffic={"timeout": 10})
class Small:
    def __init__(self) -> None:
        self.session = Session()

    @bentoml.api
    def predict(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        return self.session.predict(instances)
