"""Access to a Kubernetes cluster: its API, its objects, what becomes of pods."""
