"""``make cluster-test``: our chart, a hub and users' servers on a real node of Kubernetes, while parts of it fail."""
