"""When each route was used last, as far as the connections between Traefik and the targets tell it."""
