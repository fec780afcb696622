"""A release to Kubernetes: its objects, the rollout, the way back."""
