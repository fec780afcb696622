"""LitServe, one worker, over ONNX Runtime."""

import os
from typing import Any

import litserve

from rivals.session import Session


class Small(litserve.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002
        self.session = Session()

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["instances"]

    def predict(self, rows: Any) -> Any:
        return self.session.predict(rows)

    def encode_response(self, output: Any) -> Any:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Small(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(os.environ["ML_PORT"]), log_level="warning", generate_client_file=False)
