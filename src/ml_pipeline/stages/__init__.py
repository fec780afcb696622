"""Programs that run inside the pipeline's containers; each can be run by hand.

`python -m ml_pipeline.stages.NAME --help` says what one does. They import neither
dagger nor the façade, and each is shipped to its container alone, with the few
files that it names.
"""
