"""The page, opened: its sockets, its application and its server."""

from __future__ import annotations

from publisher import Log

from ..options import WebOptions
from ..shown.interfaces import ShownInterfaces
from .application import Events, page_application
from .guard import AllowedHosts, RequestGuard
from .server import PageServer
from .tls import server_context

_SHORT_TOKEN = 16


class Page:
    """A page of these interfaces. All methods are called on one event loop."""

    def __init__(self, shown: ShownInterfaces, options: WebOptions, log: Log) -> None:
        self.url = options.url
        """The URL; with port 0 in the options, that of the port that it listens on once it is open."""
        self._shown, self._options, self._log = shown, options, log
        self._events = Events(shown)
        self._server: PageServer | None = None

    def open(self) -> None:
        """Listens; raises ListenError and ConfigurationError."""
        options, token = self._options, self._options.read_token()
        if token is not None and len(token) < _SHORT_TOKEN:
            text = "the page's token has %d characters, so that trying finds it: use %d or more"
            self._log.warning(text, len(token), _SHORT_TOKEN)
        tls = server_context(options.cert_file, options.key_file)
        listeners = options.listen.sockets()
        port: int = listeners[0].getsockname()[1]
        hosts = AllowedHosts(options.listen, options.hosts)
        guard = RequestGuard(page_application(self._shown, self._events), hosts, token, port)
        self._server = PageServer(guard, self._log)
        self._server.start(listeners, tls)
        self.url = options.listen._replace(port=port).url(secure=tls is not None)

    async def close(self) -> None:
        """Ends all connections, within about a second."""
        server, self._server = self._server, None
        if server is not None:
            self._events.close()
            await server.close()
