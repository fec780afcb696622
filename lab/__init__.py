"""A real Dagger engine, image registry and Kubernetes node on one bare Linux machine."""
