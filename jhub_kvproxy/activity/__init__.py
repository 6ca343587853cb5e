"""When each route was used last, as the plugins tell, or the connections to the targets."""
