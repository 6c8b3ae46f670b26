"""`publisher web URL`: the page of every node at a URL."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import Any, Self

from pydantic import ValidationError

from publisher import AnyEvent, ConfigurationError, Event, NodeStatus, Subscription, WebRequest
from publisher.terminal import echo

from .first_run import on_free_port
from .http.addresses import ListenAddress
from .http.page import Page
from .options import DEFAULT_ADDRESS, WebOptions
from .shown.fleet import ShownFleet
from .sink import require_web

_LOG = logging.getLogger("publisher.web")
_READ_SECONDS = 1.0
# Of the history that a node is asked for.
_MOST_EVENTS = 500


def serve_page(request: WebRequest, subscription: Subscription) -> None:
    """A page of every node at a URL.

    Serves it until the subscription ends or is closed; lets KeyboardInterrupt through. Raises ConfigurationError and
    ListenError.
    """
    require_web()

    def history(node: str, luid: str) -> list[AnyEvent] | None:
        return subscription.history(node, luid, last=_MOST_EVENTS)

    with closing(subscription), PageThread(_options(request), history) as page:
        echo(f"Open the page:  {page.url}")
        while not subscription.closed:
            if entries := subscription.read(_READ_SECONDS):
                page.take(entries)


class PageThread:
    """A page on a thread of its own: Ctrl+C is raised in the main thread, at any place, and an event loop that it
    interrupts may be left in any state. Used as a context; the thread that enters it calls everything.
    """

    def __init__(self, options: WebOptions, history: Callable[[str, str], Sequence[Event] | None]) -> None:
        self.url = options.url
        self._history = history
        self._options = options
        self._started: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, name="page")
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._shown: ShownFleet

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._started.result()
        return self

    def take(self, entries: Sequence[Event | NodeStatus]) -> None:
        """Shows what was received; returns when it is among what viewers get, so that no more is read meanwhile."""
        # Not by a coroutine: Ctrl+C may come before the loop has it, and Python would warn of it.
        taken: Future[None] = Future()
        self._loop.call_soon_threadsafe(self._take, entries, taken)
        taken.result()

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # who started it raises it
            if not self._started.done():
                self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop, self._stop, self._shown = asyncio.get_running_loop(), asyncio.Event(), ShownFleet(self._history)
        page = Page(self._shown, self._options, _LOG)
        page.open()
        try:
            self._started.set_result(page.url)
            await self._stop.wait()
        finally:
            await page.close()
            self._shown.close()

    def _take(self, entries: Sequence[Event | NodeStatus], taken: Future[None]) -> None:
        try:
            self._shown.take(entries)
        except BaseException as error:  # noqa: BLE001  # who gave them raises it
            taken.set_exception(error)
        else:
            taken.set_result(None)


def _options(request: WebRequest) -> WebOptions:
    address = request.address
    if address is None:
        address = on_free_port(ListenAddress.of(DEFAULT_ADDRESS)).text
    given: dict[str, Any] = {"address": address, "hosts": request.hosts}
    given |= {"token_file": request.token_file, "cert_file": request.cert_file, "key_file": request.key_file}
    try:
        return WebOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        reason = first["msg"].removeprefix("Value error, ").replace("token_file (or token)", "--page-token-file")
        raise ConfigurationError("".join(f"--{part}: " for part in first["loc"]) + reason) from None
