"""Requests to one URL over one kept connection, with a deadline that also binds a server that drips."""

from __future__ import annotations

import contextlib
import logging
import ssl
import time
import urllib.request
from collections.abc import Mapping

import urllib3
from urllib3 import exceptions

from publisher import ConfigurationError

from .connection import BoundedConnection, PrivateConnection, SecureConnection
from .options import PLAIN_HTTP, WebhookOptions
from .outcome import Answer, NotAnswered

# More of an answer than this is not read: the connection is closed instead of kept.
LONGEST_ANSWER = 64 * 1024


class Poster:
    """Posts to one URL, one request at a time. One thread."""

    def __init__(self, options: WebhookOptions) -> None:
        # urllib3 logs URLs, and in many of them the path is the secret.
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)
        self._options = options
        self._pool = _manager(options).connection_from_url(options.url)
        forwarded = self._pool.proxy is not None and options.url.startswith("http:")
        # To a proxy that forwards, the whole URL is said (RFC 9112, 3.2.2).
        self._target = options.url if forwarded else urllib3.util.parse_url(options.url).request_uri
        self._pool.ConnectionCls = _connection_class(options, forwarded)

    def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post `body` and return the answer; raises NotAnswered when none came within the timeout.

        A kept connection may be closed by the server at the very moment it is used again. That is no failure, so the
        request is sent once more at once, over a new one; should the server have taken it, it knows it by its id.
        """
        deadline = time.monotonic() + self._options.timeout
        connections = self._pool.num_connections
        try:
            return self._request("POST", deadline, headers, body)
        except NotAnswered as error:
            if not error.reset or self._pool.num_connections != connections:
                raise
        return self._request("POST", deadline, headers, body)

    def probe(self, headers: Mapping[str, str]) -> Answer:
        """Ask the URL for its OPTIONS, which changes nothing there; raises NotAnswered."""
        return self._request("OPTIONS", time.monotonic() + self._options.timeout, headers, None)

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def _request(self, method: str, deadline: float, headers: Mapping[str, str], body: bytes | None) -> Answer:
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
        return _answer(response)


def _answer(response: urllib3.BaseHTTPResponse) -> Answer:
    start = bytearray()
    # The status has come, and it is what counts: a body that breaks off or drips changes nothing about it.
    with contextlib.suppress(exceptions.HTTPError), contextlib.closing(response):
        while (room := LONGEST_ANSWER - len(start)) and (piece := response.read1(room)):
            start += piece
    return Answer(response.status, response.headers.get("Retry-After"), bytes(start))


def _reason(error: exceptions.HTTPError, options: WebhookOptions) -> str:
    inner = next((part for part in reversed(error.args) if isinstance(part, Exception)), error.__cause__)
    told = f"{type(inner or error).__name__}: {inner or ''}".removesuffix(": ")[:200]
    match error:
        case exceptions.NameResolutionError():
            return f"cannot connect to {options.origin}: its name is not known: {told}"
        case exceptions.NewConnectionError():
            return f"cannot connect to {options.origin}: {told}"
        case exceptions.ConnectTimeoutError():
            return f"no connection to {options.origin} within {options.connect_timeout:g} s"
        case exceptions.ReadTimeoutError():
            return f"no answer from {options.origin} within {options.timeout:g} s"
        case exceptions.SSLError():
            return f"no secure connection to {options.origin}: {told}"
        case exceptions.ProxyError():
            return f"the proxy failed: {told}"
        case _:
            return f"no answer from {options.origin}: {told}"


def _is_reset(error: exceptions.HTTPError) -> bool:
    return isinstance(error, exceptions.ProtocolError) and isinstance(error.args[-1], ConnectionError)


def _manager(options: WebhookOptions) -> urllib3.PoolManager:
    context = _tls(options) if options.url.startswith("https:") else None
    proxy = _proxy(options)
    if proxy is None:
        return urllib3.PoolManager(maxsize=1, ssl_context=context)
    address = urllib3.util.parse_url(proxy)
    credentials = urllib3.make_headers(proxy_basic_auth=address.auth) if address.auth else None
    return urllib3.ProxyManager(
        address._replace(auth=None).url, maxsize=1, ssl_context=context, proxy_headers=credentials
    )


def _tls(options: WebhookOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.client_certificate_file:
            # A password is given, so that an encrypted key is an error instead of a question on the terminal.
            context.load_cert_chain(options.client_certificate_file, options.client_key_file, password="")
    except OSError as error:  # ssl.SSLError is one
        files = [options.ca_file, options.client_certificate_file, options.client_key_file]
        named = ", ".join(str(path) for path in files if path)
        raise ConfigurationError(f"expected PEM files that can be read, without password: {named}: {error}") from None
    return context


def _proxy(options: WebhookOptions) -> str | None:
    """The proxy that the environment names for the URL, if it was asked for."""
    if not options.proxy_from_environment:
        return None
    target = urllib3.util.parse_url(options.url)
    if urllib.request.proxy_bypass(target.netloc or ""):
        return None
    proxy = urllib.request.getproxies().get(target.scheme or "")
    if proxy and target.scheme == "http" and not options.allow_plain_http:
        raise ConfigurationError(f"url: {PLAIN_HTTP}: through a proxy it is not known where it goes")
    return proxy


def _connection_class(options: WebhookOptions, forwarded: bool) -> type[BoundedConnection]:
    if options.url.startswith("https:"):
        return SecureConnection
    return BoundedConnection if options.allow_plain_http or forwarded else PrivateConnection
