"""`publisher web URL`: the page of every node at a URL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from functools import partial
from threading import Thread
from typing import Any

from pydantic import ValidationError

from publisher import ConfigurationError, Subscription, WebRequest
from publisher.terminal import echo

from .first_run import on_free_port
from .http.addresses import ListenAddress
from .http.page import Page
from .options import DEFAULT_ADDRESS, WebOptions
from .shown.fleet import ShownFleet
from .sink import require_web

_LOG = logging.getLogger("publisher.web")
_READ_SECONDS = 1.0


def serve_page(request: WebRequest, subscription: Subscription) -> None:
    """A page of every node at a URL.

    Serves it until the subscription ends or is closed; lets KeyboardInterrupt through. Raises ConfigurationError and
    ListenError.
    """
    require_web()
    options = _options(request)
    with closing(subscription):
        asyncio.run(_serve(options, subscription))


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


async def _serve(options: WebOptions, subscription: Subscription) -> None:
    shown = ShownFleet()
    page = Page(shown, options, _LOG)
    page.open()
    echo(f"Open the page:  {page.url}")
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reader = Thread(target=_read, args=(subscription, shown, asyncio.get_running_loop(), ended), name="subscription")
    reader.start()
    try:
        await ended
    finally:
        subscription.close()
        await page.close()


def _read(
    subscription: Subscription, shown: ShownFleet, loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None]
) -> None:
    """Hands over what is received, until the subscription ends; no more is read than was taken."""
    error: BaseException | None = None
    try:
        while not subscription.closed:
            if entries := subscription.read(_READ_SECONDS):
                _hand_over(loop, partial(shown.take, entries))
    except RuntimeError:  # the loop is closed
        return
    except Exception as failed:  # noqa: BLE001  # whoever waits for the end raises it
        error = failed
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(_end, ended, error)


def _hand_over(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Makes a call on the loop, and waits for it; raises RuntimeError when the loop is closed."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            call()
            done.set_result(None)
        except Exception as error:  # noqa: BLE001  # who handed it over raises it
            done.set_exception(error)

    loop.call_soon_threadsafe(run)
    while not wait((done,), _READ_SECONDS).done:
        if loop.is_closed():
            raise RuntimeError("the loop is closed")
    done.result()


def _end(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if not ended.done():
        ended.set_exception(error) if error is not None else ended.set_result(None)
