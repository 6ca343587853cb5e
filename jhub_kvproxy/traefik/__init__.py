"""Traefik, the data plane: its configuration, its API, its process."""
