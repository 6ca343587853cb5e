"""What runs in the hub: JupyterHub's Proxy API, its options, and the root that all parts are put together in."""
