"""Around training: the contract with a project's command, that command, and a search over settings."""
