"""The page of `publisher run` without a configuration: on loopback."""

from __future__ import annotations

import socket
from contextlib import closing

from publisher import DefaultSinks, Log

from .http.addresses import ListenAddress, can_listen
from .options import DEFAULT_ADDRESS
from .sink import has_web

_MISSING = "No page in this run: starlette and uvicorn are missing: pip install 'interface-publisher[web]'"


def prepare(log: Log, address: str = DEFAULT_ADDRESS) -> DefaultSinks:
    """Returns a page on this address, on a free port where that is taken; without the extra a line says what to do."""
    if not has_web():
        log.warning("%s", _MISSING)
        return DefaultSinks({}, (_MISSING,))
    wanted = on_free_port(ListenAddress.of(address))
    return DefaultSinks(
        {"web": {"type": "web", "address": wanted.text}}, (f"Open the page:  {wanted.url(secure=False)}",)
    )


def on_free_port(address: ListenAddress) -> ListenAddress:
    """Returns this address, with a free port where its own is taken."""
    if can_listen(address):
        return address
    with closing(socket.create_server((address.host, 0))) as found:
        return address._replace(port=found.getsockname()[1])
