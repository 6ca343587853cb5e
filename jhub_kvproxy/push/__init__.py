"""Brings the routing table to the plugin in each Traefik, and knows what each of them serves."""
