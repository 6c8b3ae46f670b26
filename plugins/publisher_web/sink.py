"""The web sink: a page, an API and Server-Sent Events over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from publisher import AsyncSink, ConfigurationError, Event, SinkOptions

from .http.addresses import answers
from .http.tls import server_context
from .options import WebOptions

if TYPE_CHECKING:
    from .http.page import Page
    from .shown.host import ShownHost

_MISSING = "a page needs starlette and uvicorn: pip install 'interface-publisher[web]'"


class WebSink(AsyncSink):
    """Serves a page of this host's interfaces, and what it is made of: rows, history, status, events.

    Nothing is kept at a destination: what viewers missed is in the journal.
    """

    Options: ClassVar[type[SinkOptions]] = WebOptions
    max_pause = 10.0
    options: WebOptions
    _shown: ShownHost | None = None
    _page: Page | None = None

    async def aopen(self) -> None:
        """Listens; raises ListenError and ConfigurationError."""
        require_web()
        # Imported here: whoever only looks at the options does not pay for it.
        from .http.page import Page
        from .shown.host import ShownHost

        options = self.options
        self._shown = ShownHost(self.context, skips=options.skips, settles=options.settle is not None)
        self._page = Page(self._shown, options, self.context.log)
        self._page.open()
        self.context.log.info("the page is open: %s", self._page.url)

    async def apublish(self, events: Sequence[Event]) -> None:
        """Shows events to all viewers. Waits for none of them."""
        assert self._shown is not None, "it is open"
        self._shown.take(events)

    async def aclose(self) -> None:
        """Ends all connections, within about a second."""
        if self._page is not None:
            await self._page.close()
        if self._shown is not None:
            self._shown.close()

    def check(self) -> str:
        """Returns a line about the address; listens on it for an instant when no program does."""
        require_web()
        options = self.options
        options.read_token()
        server_context(options.cert_file, options.key_file)
        address = options.listen
        if address.port and answers(address):
            return f"a program listens on {options.address}: this publisher, if it runs"
        for listener in address.sockets():
            listener.close()
        return f"{options.url} can be opened"


def require_web() -> None:
    """Raises ConfigurationError, which says how to install them, when starlette or uvicorn are missing."""
    if not has_web():
        raise ConfigurationError(_MISSING)


def has_web() -> bool:
    """Returns whether starlette and uvicorn are installed."""
    return all(find_spec(name) is not None for name in ("starlette", "uvicorn"))
