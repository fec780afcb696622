"""Training: the contract with a project's command, the built-in trainer, searches, several nodes."""
