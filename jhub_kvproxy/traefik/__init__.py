"""Traefik: its configuration, its API, its process, and our plugin for it."""
