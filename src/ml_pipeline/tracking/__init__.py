"""Runs on an MLflow server."""
