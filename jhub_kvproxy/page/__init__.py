"""The page that shows a site live, a service of JupyterHub."""
