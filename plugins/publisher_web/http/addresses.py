"""The address that a page listens on, and the names by which it may be asked for."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import closing, suppress
from ipaddress import ip_address
from typing import NamedTuple

from publisher import PublisherError

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")
_EXPECTED = 'must be an address and a port, such as "127.0.0.1:8780" or "[::1]:8780"'


class ListenError(PublisherError):
    """The page cannot listen on its address."""


class ListenAddress(NamedTuple):
    """A host and a port to listen on; port 0 is a free one."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> ListenAddress:
        """Returns the address of `host:port` or `[IPv6]:port`; raises ValueError."""
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host, is_six = host[1:-1], True
        else:
            is_six = False
        if not (port.isascii() and port.isdigit() and int(port) < 65536):
            raise ValueError(_EXPECTED)
        if (":" in host) != is_six or not is_host(f"[{host}]" if is_six else host):
            raise ValueError(_EXPECTED)
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """True if only this host reaches it."""
        return self.host == "localhost" or is_loopback(self.host)

    @property
    def is_any(self) -> bool:
        """True if it is every address of this host."""
        with suppress(ValueError):
            return ip_address(self.host).is_unspecified
        return False

    def url(self, *, secure: bool) -> str:
        """Returns the URL of the page, as a browser on this host can open it."""
        host = self.host
        if self.is_any:
            host = "[::1]" if ":" in host else "127.0.0.1"
        elif ":" in host:
            host = f"[{host}]"
        return f"{'https' if secure else 'http'}://{host}:{self.port}/"

    def sockets(self) -> list[socket.socket]:
        """Returns sockets that listen there, one for each address of the host; raises ListenError."""
        listening: list[socket.socket] = []
        reason: OSError | None = None
        for family, host in self._resolved():
            try:
                # A free port is chosen once, for all addresses of the host.
                port = listening[0].getsockname()[1] if listening and not self.port else self.port
                listening.append(_listen(family, host, port))
            except OSError as error:
                reason = error
        if not listening or (reason is not None and not _is_missing(reason)):
            for one in listening:
                one.close()
            raise ListenError(
                f"cannot listen on {self.text}: {reason and (reason.strerror or reason)}; {_remedy(reason)}"
            )
        return listening

    @property
    def text(self) -> str:
        """The address as in the configuration."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _resolved(self) -> list[tuple[int, str]]:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise ListenError(f"cannot listen on {self.text}: {error.strerror or error}; name an address") from None
        return list(dict.fromkeys((family, str(place[0])) for family, _, _, _, place in found))


def is_loopback(host: str) -> bool:
    """Returns whether a host is an address of loopback."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return False


def is_host(text: str) -> bool:
    """Returns whether a text is a name, an IPv4 address, or an IPv6 address in brackets."""
    if text.startswith("["):
        with suppress(ValueError):
            return text.endswith("]") and ip_address(text[1:-1].partition("%")[0]).version == 6
        return False
    return len(text) < 254 and _NAME.fullmatch(text) is not None


def can_listen(address: ListenAddress) -> bool:
    """Returns whether the page could listen there now."""
    try:
        for one in address.sockets():
            one.close()
    except ListenError:
        return False
    return True


def _listen(family: int, host: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            # There SO_REUSEADDR lets two programs listen on one port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "[::]" is every address, IPv4 too.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        listener.setblocking(False)
        listener.bind((host, port))
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def answers(address: ListenAddress) -> bool:
    """Returns whether some program listens there."""
    for family, host in address._resolved():
        with suppress(OSError), closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
            probe.settimeout(2)
            probe.connect((host, address.port))
            return True
    return False


def _is_missing(error: OSError) -> bool:
    """Returns whether this host has no such address, as ::1 where IPv6 is off."""
    import errno

    return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _remedy(error: OSError | None) -> str:
    import errno

    match error and error.errno:
        case errno.EADDRINUSE:
            return "another program listens there: stop it, or choose another port"
        case errno.EACCES:
            return "choose a port above 1023"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return "this host has no such address: choose one that it has"
        case _:
            return "choose another address"
