"""The program beside a Traefik: it follows the store, with or without a hub, and keeps Traefik's plugin up to date."""
