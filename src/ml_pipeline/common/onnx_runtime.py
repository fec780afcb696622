"""ONNX Runtime, with its reports to its maker switched off: import it from here."""

import os

# The official builds report home, and write a device's identity into $HOME, unless this is set before
# they are imported. A model's server talks to its callers only; "0" allows the reports again.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["onnxruntime"]
