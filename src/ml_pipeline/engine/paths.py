"""Where things are inside the pipeline's containers; pure, so that manifests and programs may read it."""

VENV = "/opt/venv"
PYTHON = f"{VENV}/bin/python"
PROGRAMS = "/app"
OUTPUT = "/output"  # a stage's files; what the next stage reads
OUTCOME = "/outcome/outcome.json"  # apart from OUTPUT: its times must not reach the next stage's inputs
INPUT, SOURCE, DATA, ROWS = "/input", "/source", "/data", "/rows"
CONFIG = "/settings.json"  # a stage's part of the configuration
