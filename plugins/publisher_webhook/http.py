"""Requests to one URL over one kept connection, with a deadline that holds for a server that drips, too."""

from __future__ import annotations

import contextlib
import time
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions

from publisher import ConfigurationError
from publisher.credentials import tls_context

from .addresses import is_private
from .connection import BoundedConnection, PrivateConnection, SecureConnection
from .options import PLAIN_HTTP, WebhookOptions
from .outcome import NotAnswered, Response

# More of a response than this is not read: the connection is closed instead of kept.
LONGEST_RESPONSE = 64 * 1024


class Poster:
    """Posts to one URL, one request at a time. Only one thread may use it.

    urllib3 logs each request's path at level DEBUG; what of that is shown, the program's own configuration decides.
    """

    def __init__(self, options: WebhookOptions) -> None:
        self._options = options
        self._pool = _manager(options).connection_from_url(options.url)
        forwarded = self._pool.proxy is not None and options.url.startswith("http:")
        # A proxy that forwards receives the whole URL (RFC 9112, 3.2.2).
        self._target = options.url if forwarded else urllib3.util.parse_url(options.url).request_uri
        self._pool.ConnectionCls = _connection_class(options, forwarded)

    def post(self, headers: Mapping[str, str], body: bytes) -> Response:
        """Posts `body` and returns the response; raises NotAnswered when none comes within the timeout.

        A server may close a kept connection at the very moment it is used again. That is no failure, so the request is
        sent once more at once, over a new one; a server that had taken it recognizes its id.
        """
        deadline = time.monotonic() + self._options.timeout
        connections = self._pool.num_connections
        try:
            return self._request("POST", deadline, headers, body)
        except NotAnswered as error:
            if not error.reset or self._pool.num_connections != connections:
                raise
        return self._request("POST", deadline, headers, body)

    def probe(self, headers: Mapping[str, str]) -> Response:
        """Requests the URL's OPTIONS, which changes nothing there; raises NotAnswered."""
        return self._request("OPTIONS", time.monotonic() + self._options.timeout, headers, None)

    def close(self) -> None:
        """Closes the connection."""
        self._pool.close()

    def _request(self, method: str, deadline: float, headers: Mapping[str, str], body: bytes | None) -> Response:
        left = max(deadline - time.monotonic(), 0.001)
        timeout = urllib3.Timeout(connect=min(self._options.connect_timeout, left), total=left)
        try:
            response = self._pool.urlopen(
                method,
                self._target,
                body=body,
                headers={"User-Agent": "interface-publisher", **headers},
                timeout=timeout,
                retries=False,
                redirect=False,
                assert_same_host=False,  # to a forwarding proxy the target is another host
                preload_content=False,
                decode_content=False,
            )
        except exceptions.HTTPError as error:
            # Not chained: what urllib3 raises may hold the URL.
            raise NotAnswered(_reason(error, self._options), reset=_is_reset(error)) from None
        return _read(response)


def _read(response: urllib3.BaseHTTPResponse) -> Response:
    start = bytearray()
    # The status is known, and it alone decides: a body that breaks off or drips changes nothing.
    with contextlib.suppress(exceptions.HTTPError), contextlib.closing(response):
        while (room := LONGEST_RESPONSE - len(start)) and (piece := response.read1(room)):
            start += piece
    return Response(response.status, tuple(response.headers.getlist("Retry-After")), bytes(start))


def _reason(error: exceptions.HTTPError, options: WebhookOptions) -> str:
    inner = next((part for part in reversed(error.args) if isinstance(part, Exception)), error.__cause__)
    detail = f"{type(inner or error).__name__}: {inner or error}".removesuffix(": ")[:200]
    match error:
        case exceptions.NameResolutionError():
            return f"cannot connect to {options.origin}: its name cannot be resolved: {detail}"
        case exceptions.NewConnectionError():
            return f"cannot connect to {options.origin}: {detail}"
        case exceptions.ConnectTimeoutError():
            return f"no connection to {options.origin} within {options.connect_timeout:g} s"
        case exceptions.ReadTimeoutError():
            return f"no answer from {options.origin} within {options.timeout:g} s"
        case exceptions.SSLError():
            return f"no secure connection to {options.origin}: {detail}"
        case exceptions.ProxyError():
            return f"the proxy failed: {detail}"
        case _:
            return f"no answer from {options.origin}: {detail}"


def _is_reset(error: exceptions.HTTPError) -> bool:
    return isinstance(error, exceptions.ProtocolError) and isinstance(error.args[-1], ConnectionError)


def _manager(options: WebhookOptions) -> urllib3.PoolManager:
    context = None
    if options.url.startswith("https:"):
        context = tls_context(ca_file=options.ca_file, cert_file=options.cert_file, key_file=options.key_file)
    proxy = _proxy(options)
    if proxy is None:
        return urllib3.PoolManager(maxsize=1, ssl_context=context)
    address = urllib3.util.parse_url(proxy)
    credentials = urllib3.make_headers(proxy_basic_auth=address.auth) if address.auth else None
    return urllib3.ProxyManager(
        address._replace(auth=None).url, maxsize=1, ssl_context=context, proxy_headers=credentials
    )


def _proxy(options: WebhookOptions) -> str | None:
    """Returns the proxy that the environment names for the URL, when the options ask for it."""
    if not options.proxy_from_environment:
        return None
    target = urllib3.util.parse_url(options.url)
    if urllib.request.proxy_bypass(target.netloc or ""):
        return None
    proxy = urllib.request.getproxies().get(target.scheme or "")
    if proxy and target.scheme == "http" and not options.allow_plain_http:
        raise ConfigurationError(f"url: {PLAIN_HTTP}; through a proxy the address is not known")
    return proxy


def _connection_class(options: WebhookOptions, forwarded: bool) -> type[BoundedConnection]:
    if options.url.startswith("https:"):
        return SecureConnection
    if options.allow_plain_http or forwarded or is_private(urlsplit(options.url).hostname or ""):
        return BoundedConnection
    return PrivateConnection
