"""For a Traefik that reads the store by itself: routes as Traefik's routers, in a tree. Nothing else knows of these."""
