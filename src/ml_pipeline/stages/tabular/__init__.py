"""The built-in trainer for tabular data: raw columns in, one ONNX graph out.

`columns` is fitted to the rows and needs no torch; `network` and `loop` train;
`export` writes the same arithmetic as one graph; `fit` runs them in order.
"""
