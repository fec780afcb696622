"""The built-in trainer for tables: columns fitted to the rows, a network, and both as one ONNX graph."""
