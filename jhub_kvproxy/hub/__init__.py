"""What runs in the hub: JupyterHub's Proxy API, the options, and the root where all parts are put together."""
