"""Access to a Kubernetes cluster: its API, its objects, and the state of pods."""
