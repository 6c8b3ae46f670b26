"""The page of `publisher run` without a configuration: on loopback."""

from __future__ import annotations

import socket
from contextlib import closing

from publisher import DefaultSinks

from .http.addresses import ListenAddress, can_listen
from .options import DEFAULT_ADDRESS
from .sink import has_web

_MISSING = "No page in this run: starlette and uvicorn are missing: pip install 'interface-publisher[web]'"


def prepare(address: str = DEFAULT_ADDRESS) -> DefaultSinks:
    """Returns a page on this address, on a free port where that is taken; without the extra a line says what to do."""
    if not has_web():
        # Not logged: the line is printed in any case, and a terminal would show it twice.
        return DefaultSinks({}, (_MISSING,))
    wanted = on_free_port(ListenAddress.of(address))
    lines = (f"Open the page:  {wanted.url(secure=False)}",)
    return DefaultSinks({"web": {"type": "web", "address": wanted.text}}, lines_when_open={"web": lines})


def on_free_port(address: ListenAddress) -> ListenAddress:
    """Returns this address, with a free port where its own is taken."""
    if can_listen(address):
        return address
    with closing(socket.create_server((address.host, 0))) as found:
        return address._replace(port=found.getsockname()[1])
