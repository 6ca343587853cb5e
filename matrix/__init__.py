"""Runs the tests against other versions of servers, JupyterHub and Python than those that are installed."""
