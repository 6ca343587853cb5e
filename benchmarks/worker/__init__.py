"""The hub part of a proxy in a process of its own: ``python -m benchmarks.worker``, driven by JSON lines.

Every proxy that has a hub part is driven by it, ours and the others, so that what it costs is the same
for all. It runs in the Python that the proxy is installed in, and needs nothing but JupyterHub there.
"""
