"""The web sink: a page, an API and Server-Sent Events over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from publisher import AsyncSink, ConfigurationError, Event, SinkOptions

from .addresses import answers, can_listen
from .options import WebOptions

if TYPE_CHECKING:
    from .application import Events
    from .host import ShownHost
    from .server import PageServer

_MISSING = "a page needs starlette and uvicorn: pip install 'interface-publisher[web]'"
_SHORT_TOKEN = 16


class WebSink(AsyncSink):
    """Serves a page of this host's interfaces, and what it is made of: rows, history, status, events.

    Nothing is kept at a destination: what viewers missed is in the journal.
    """

    Options: ClassVar[type[SinkOptions]] = WebOptions
    max_pause = 10.0
    options: WebOptions
    _server: PageServer | None = None
    _events: Events
    _shown: ShownHost | None = None
    url = ""
    """The URL of the page, once it is open."""

    async def aopen(self) -> None:
        """Listens; raises ListenError and ConfigurationError."""
        require_web()
        from .application import Events, page_application
        from .guard import AllowedHosts, RequestGuard
        from .host import ShownHost
        from .server import PageServer
        from .tls import server_context

        options, token = self.options, self.options.read_token()
        if token is not None and len(token) < _SHORT_TOKEN:
            self.context.log.warning("the token has %d characters: whoever tries many may find it; use 16", len(token))
        tls = server_context(options.cert_file, options.key_file)
        listeners = options.listen.sockets()
        try:
            port = listeners[0].getsockname()[1]
            self._shown = ShownHost(self.context, skips=options.skips, settles=options.settle is not None)
            self._events = Events(self._shown)
            hosts = AllowedHosts(options.listen, options.hosts)
            guard = RequestGuard(page_application(self._shown, self._events), hosts, token, port)
            self._server = PageServer(guard, self.context.log)
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        self._server.start(listeners, tls)
        self.url = options.listen._replace(port=port).url(secure=tls is not None)
        self.context.log.info("the page is open: %s", self.url)

    async def apublish(self, events: Sequence[Event]) -> None:
        """Shows events to all viewers. Waits for none of them."""
        assert self._shown is not None, "it is open"
        self._shown.take(events)

    async def aclose(self) -> None:
        """Ends all connections, within about a second."""
        server, self._server = self._server, None
        if server is not None:
            self._events.close()
            await server.close()
        shown, self._shown = self._shown, None
        if shown is not None:
            shown.close()

    def check(self) -> str:
        """Returns a line about the address; listens on it for an instant when no program does."""
        from .tls import server_context

        require_web()
        options = self.options
        options.read_token()
        server_context(options.cert_file, options.key_file)
        address = options.listen
        if address.port and answers(address):
            return f"{options.url}: a program listens there: this publisher, if it runs"
        if not can_listen(address):
            address.sockets()
        return f"{options.url} is free"


def require_web() -> None:
    """Raises ConfigurationError, which says how to install them, when starlette or uvicorn are missing."""
    if not has_web():
        raise ConfigurationError(_MISSING)


def has_web() -> bool:
    """Returns whether starlette and uvicorn are installed."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("starlette", "uvicorn"))
