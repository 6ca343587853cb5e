"""Error pages: what Traefik answers in the place of a server that does not. Pure, no I/O.

Traefik has no content of its own. Its ``errors`` middleware asks a service for the page (Traefik docs, "Errors");
what it gets goes through middlewares of that service, which Traefik has since 3.7.
"""

from __future__ import annotations

from urllib.parse import urlsplit

#: The middleware of routes whose servers may be down, and that of the hub, where the pages come from.
ERROR_PAGE, HUB_AWAY = "kvproxy-error-page", "kvproxy-hub-away"

# Services: the page of the error target or, if that fails, ours; the one; the other.
_PAGES, _TARGET, _PLAIN = "kvproxy-pages", "kvproxy-error-target", "kvproxy-plain-page"
# Middlewares of these services.
_TARGET_HEADERS, _PLAIN_HEADERS, _PLAIN_TEXT = "kvproxy-error-target", "kvproxy-plain-headers", "kvproxy-plain-text"

_RETRY_AFTER = "10"


def error_pages(target: str, *, with_url: bool, transport: str) -> dict[str, str]:
    """The keys, below ``traefik/``, of middlewares and services for error pages.

    `target` is the URL below which the pages are, such as ``http://127.0.0.1:8081/hub/error``; they are asked for in
    the way of configurable-http-proxy, ``TARGET/503``, and `with_url` adds what the user wanted.
    """
    url = urlsplit(target)
    query = f"{url.path.rstrip('/')}/{{status}}" + ("?url={url}" if with_url else "")
    keys = _errors(ERROR_PAGE, _PAGES, query) | _errors(HUB_AWAY, _PLAIN, "/")
    services = {
        f"{_PAGES}/failover/service": _TARGET,
        f"{_PAGES}/failover/fallback": _PLAIN,
        f"{_PAGES}/failover/errors/status": "500-599",
        f"{_TARGET}/middlewares": _TARGET_HEADERS,
        f"{_TARGET}/loadBalancer/servers/0/url": f"{url.scheme}://{url.netloc}",
        f"{_PLAIN}/middlewares": f"{_PLAIN_HEADERS},{_PLAIN_TEXT}",
        # A service must have something; this one is never asked.
        f"{_PLAIN}/loadBalancer/passHostHeader": "true",
    }
    if transport and url.scheme == "https":
        services[f"{_TARGET}/loadBalancer/serversTransport"] = transport
    middlewares = {
        f"{_TARGET_HEADERS}/headers/customRequestHeaders/Host": url.netloc,
        # For a page to navigate to, JupyterHub would set a cookie of somebody not logged in (jupyterhub._xsrf_utils),
        # in the place of the user's own. To remove it from the answer takes an empty value, which Redis loses.
        f"{_TARGET_HEADERS}/headers/customRequestHeaders/Sec-Fetch-Mode": "no-cors",
        # A websocket cannot show a page: what has this header is refused here, and gets the plain one.
        f"{_TARGET_HEADERS}/headers/hostsProxyHeaders": "Upgrade",
        f"{_TARGET_HEADERS}/headers/allowedHosts": url.netloc,
        f"{_PLAIN_HEADERS}/headers/customResponseHeaders/Content-Type": "text/plain; charset=utf-8",
        f"{_PLAIN_HEADERS}/headers/customResponseHeaders/Cache-Control": "no-store",
        f"{_PLAIN_HEADERS}/headers/customResponseHeaders/Retry-After": _RETRY_AFTER,
        # Nobody has this address: all are refused, with the status in words.
        f"{_PLAIN_TEXT}/ipAllowList/sourceRange": "255.255.255.255/32",
        f"{_PLAIN_TEXT}/ipAllowList/rejectStatusCode": "503",
    }
    keys |= {f"http/services/{key}": value for key, value in services.items()}
    return keys | {f"http/middlewares/{key}": value for key, value in middlewares.items()}


def _errors(name: str, service: str, query: str) -> dict[str, str]:
    """The middleware `name`: what Traefik answers when there is no server (502), or no answer in time (504)."""
    below = f"http/middlewares/{name}/errors"
    return {
        f"{below}/status": "502,504",
        # A range, and one key: numbers alone would be the places of a list.
        f"{below}/statusRewrites/502-504": "503",
        f"{below}/service": service,
        f"{below}/query": query,
        # No cookies, no credentials. Without this key, Traefik sends all headers of the request.
        f"{below}/errorRequestHeaders": "Accept,Upgrade",
    }
