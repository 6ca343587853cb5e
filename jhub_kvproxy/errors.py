"""What can go wrong, one class for each thing a caller may want to do about it."""


class KVProxyError(Exception):
    """Base of every error that jhub-kvproxy raises on purpose.

    Its text is one sentence for an admin: what is wrong, where, what to do.
    """


class RouteRejected(KVProxyError, ValueError):
    """The routespec, the target or the data cannot be routed or stored; asking again changes nothing."""


class RouteNotReady(KVProxyError):
    """A committed change was not seen live on every replica that is up."""


class BackendNotFound(KVProxyError, LookupError):
    """``KVProxy.backend_class`` names no usable backend."""


class BackendError(KVProxyError):
    """The store did not do what was asked. A driver raises one of the subclasses."""


class BackendUnavailable(BackendError):
    """The store could not be reached or did not answer in time; the same call may succeed later."""


class BackendRejected(BackendError):
    """The store answered no, or holds what cannot be read; the same call will fail again."""


class BatchRejected(BackendRejected):
    """The store refuses this batch for what is in it, such as its size; a part of it may pass."""


class LeaseHeld(BackendError):
    """Another writer has the lease; its text says who, and since when.

    ``seconds`` is the `ttl` that this writer asked for last, or None if the driver does not know it. A lease that
    is not renewed has run out by then.
    """

    def __init__(self, *args: object, seconds: float | None = None) -> None:
        super().__init__(*args)
        self.seconds = seconds


class LeaseLost(BackendError):
    """The lease is no longer ours, so the store was not changed."""


class TraefikError(KVProxyError):
    """Traefik cannot be found, started, adopted or used."""
