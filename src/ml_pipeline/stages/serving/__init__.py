"""What `serve` and `predict` share: the signature, columns in, the protocols, the figures."""

import os

# ONNX Runtime's official builds report to their maker, and write a device's identity into $HOME, unless
# this is set before they are imported. A model's server talks to its callers only; "0" allows it again.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
