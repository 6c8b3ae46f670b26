"""The checks of each request before it is answered, and the headers of each answer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from email.utils import formatdate
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from .addresses import ListenAddress, is_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# h11 takes a larger one that comes at once.
LARGEST_HEAD = 16 * 1024
_MOST_HEADERS = 100
# An answer that its reader does not take is given up; /events has no end.
_ANSWER_SECONDS = 60.0
_COOKIE = "Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"  # 30 days
_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class EarlyAnswer(NamedTuple):
    """An answer that ends a request."""

    status: int
    text: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    kind: bytes = b"text/plain; charset=utf-8"


class AllowedHosts:
    """The names by which the page may be asked for: a page of another site, whose name leads here, is refused."""

    def __init__(self, address: ListenAddress, further: Iterable[str]) -> None:
        self._address = address
        self._names = {"localhost", address.host.lower(), *(name.lower().strip("[]") for name in further)}
        if not address.is_loopback:
            name = socket.gethostname().lower()
            self._names |= {name, f"{name.partition('.')[0]}.local"}

    def __contains__(self, host: str) -> bool:
        """Returns whether a Host header names this page. The port does not matter: a tunnel may have another."""
        name = _without_port(host).lower().rstrip(".")
        if name in self._names or is_loopback(name):
            return True
        try:
            return bool(ip_address(name)) and self._address.is_any
        except ValueError:
            return False


class RequestGuard:
    """Checks method, Host, origin and token of each request, and adds the headers of each answer. An ASGI application.

    The token is given as `Authorization: Bearer ...`, or once as `/?token=...`, for which a cookie is set.
    """

    def __init__(
        self, application: Callable[[Any, Any, Any], Awaitable[None]], hosts: AllowedHosts, token: str | None, port: int
    ) -> None:
        self._application = application
        self._hosts = hosts
        self._token = token
        # Cookies are shared by all ports of a host.
        self._cookie = f"publisher-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = (b"date", formatdate(usegmt=True).encode())
                message["headers"] = [date, *_HEADERS, *message.get("headers", ())]
            await send(message)

        if early := self._early_answer(scope):
            await _answer(early, send_with_headers)
        elif scope["path"] == "/events":
            await self._application(scope, receive, send_with_headers)
        else:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._application(scope, receive, send_with_headers)
            except TimeoutError:
                scope["state"]["connection"].abort()

    def _early_answer(self, scope: Scope) -> EarlyAnswer | None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(value) for _, value in scope["headers"])
        if size > LARGEST_HEAD or len(scope["headers"]) > _MOST_HEADERS:
            return EarlyAnswer(431, "The head of this request is too large.")
        if scope["method"] != "GET":
            return EarlyAnswer(405, "This page is only read: use GET.", ((b"allow", b"GET"),))
        host = headers.get(b"host", "")
        if host not in self._hosts:
            shown = host if host.isprintable() else ascii(host)
            return EarlyAnswer(
                403, f"This page is not asked for as {shown[:100]!r}. Is that its name? Add it to the option `hosts`."
            )
        if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin") and scope["path"] != "/":
            return EarlyAnswer(403, "This is not for pages of other sites.")
        return None if self._token is None else self._check_token(self._token, scope, headers)

    def _check_token(self, token: str, scope: Scope, headers: Mapping[bytes, str]) -> EarlyAnswer | None:
        query = scope["query_string"].decode("latin-1")
        if scope["path"] == "/" and "token=" in query:
            return self._remember(scope) if _same(_token_in(query), token) else _unauthorized("The token is wrong.")
        scheme, _, given = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), token):
            return None
        if _same(_cookie_of(headers, self._cookie), _cookie_for(token)):
            return None
        return _unauthorized("This page needs its token.")

    def _remember(self, scope: Scope) -> EarlyAnswer:
        """Returns the answer that sets the cookie, and leaves the token out of the address."""
        assert self._token is not None, "else nobody asks"
        cookie = f"{self._cookie}={_cookie_for(self._token)}; {_COOKIE}"
        if scope["scheme"] == "https":
            cookie += "; Secure"
        return EarlyAnswer(303, "", ((b"location", b"/"), (b"set-cookie", cookie.encode())))


def _unauthorized(reason: str) -> EarlyAnswer:
    # The link: a browser that comes here from another site leaves the cookie out, and gives it with the next request.
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Token needed</title>'
        # Without an icon, a browser asks for /favicon.ico, and is refused.
        '<link rel="icon" href="data:,">'
        f"<h1>{reason}</h1><p>Open <code>/?token=</code> with the token behind it, once. "
        '<p>You did? <a href="/">Then go on.</a></html>'
    )
    return EarlyAnswer(401, text, ((b"www-authenticate", b"Bearer"),), b"text/html; charset=utf-8")


async def _answer(early: EarlyAnswer, send: Send) -> None:
    body = early.text.encode()
    headers = [(b"content-type", early.kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": early.status, "headers": [*headers, *early.headers]})
    await send({"type": "http.response.body", "body": body})


def _token_in(query: str) -> str:
    try:
        return parse_qs(query, max_num_fields=20).get("token", [""])[0]
    except ValueError:  # there are more fields
        return ""


def _same(given: str, wanted: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


def _cookie_for(token: str) -> str:
    """Returns the cookie's value: not the token itself, and the same after a restart."""
    return hmac.new(token.encode(), b"the cookie of the page", hashlib.sha256).hexdigest()


def _cookie_of(headers: Mapping[bytes, str], name: str) -> str:
    # Not by http.cookies: it reads nothing of a header in which another program of this host has a cookie of JSON.
    for cookie in headers.get(b"cookie", "").split(";"):
        given, _, value = cookie.partition("=")
        if given.strip() == name:
            return value.strip()
    return ""


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
