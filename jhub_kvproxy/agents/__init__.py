"""The way by the agents: each Traefik has one beside it, which follows the store; the hub asks them what they serve."""
