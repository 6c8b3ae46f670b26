"""The services of Apprise: one for each URL, called in the caller's thread, quiet, and without secrets in errors."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

from publisher import PublisherError

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

_LONGEST_REASON = 500
# Shorter parts of a URL turn up inside ordinary words, and are no secrets.
_SHORTEST_SECRET = 6
# The status of an answer, as Apprise's services word it: "Failed to send ntfy notification: Forbidden, error=403."
# 408, 425 and 429 ask to try again, as they do for a webhook. ntfy's own codes begin with the status: 42901.
_REFUSED = re.compile(r"error=(?:3|4(?!08|25|29))\d\d")

Severity: TypeAlias = Literal["info", "success", "warning"]


# The error of requests for a connection that was not made: "HTTPSConnectionPool(host='h', port=443): Max retries
# exceeded with url: /x (Caused by NewConnectionError("HTTPSConnection(host='h', port=443): Failed to establish a new
# connection: [Errno 111] Connection refused"))". Older ones name '<urllib3.connection.HTTPSConnection object at 0x7f>'.
_NOT_CONNECTED = re.compile(
    r"HTTPS?ConnectionPool\(host='([^']*)', port=(\d+)\): Max retries exceeded with url: \S* \(Caused by \w+\(\W*"
    r"(?:(?:HTTPS?Connection\([^)]*\)|urllib3\.connection\.HTTPS?Connection object at \w+>): )?"
    r"(?:Failed to establish a new connection: \[Errno -?\d+\] )?([^\"]*?)\W*\)\)"
)


class NotifyMessage(NamedTuple):
    """A message as Apprise takes it; `severity` chooses a colour or a sign where a service has some."""

    title: str
    text: str
    severity: Severity


class NotTaken(PublisherError):  # noqa: N818 - named like Retry and Rejected
    """A service did not take a message; the text has the reason. `refused` means that it answered so."""

    def __init__(self, reason: str, *, refused: bool) -> None:
        super().__init__(reason)
        self.refused = refused


class AppriseService:
    """One URL of Apprise."""

    def __init__(self, name: str, plugin: NotifyBase, mask: Callable[[str], str]) -> None:
        self.name = f"{name} ({plugin.service_name})"
        self._plugin = plugin
        self._mask = mask

    def send(self, message: NotifyMessage) -> None:
        """Sends a message as plain text, in this thread; raises NotTaken, without the URL's secrets."""
        from apprise import Apprise

        with _collecting() as reasons:
            apprise = Apprise([self._plugin], asset=self._plugin.asset)
            try:
                text, title, severity = message.text, message.title, message.severity
                taken = bool(apprise.notify(body=text, title=title, notify_type=severity, body_format="text"))
            except Exception as error:  # noqa: BLE001 - 170 services of as many authors: whatever they raise is a reason
                taken = False
                reasons.append(f"{type(error).__name__}: {error}")
        if not taken:
            reason = _one_line(_plain(self._mask(" ".join(dict.fromkeys(reasons)) or "Apprise gives no reason")))
            raise NotTaken(f"{self.name}: {reason}", refused=_REFUSED.search(reason) is not None)


def require_apprise() -> None:
    """Raises ValueError, which says how to install it, when Apprise is missing."""
    try:
        import apprise  # noqa: F401 - only whether it is there
    except ImportError:
        raise ValueError("a notify sink needs Apprise: pip install 'interface-publisher[notify]'") from None


def load_services(
    urls: Iterable[tuple[str, str]], *, connect_timeout: float, timeout: float
) -> tuple[AppriseService, ...]:
    """Returns a service for each (name, URL); raises ValueError for the first URL that Apprise cannot use.

    `connect_timeout` and `timeout` are seconds for each connection and each answer, unless the URL has its own.
    """
    return tuple(_loaded(name, url, connect_timeout, timeout) for name, url in urls)


def _loaded(name: str, url: str, connect_timeout: float, timeout: float) -> AppriseService:
    from apprise import Apprise, OverflowMode

    scheme, separator, _ = url.partition("://")
    if not separator or not url.isprintable():
        raise ValueError(f"{name}: expected a URL with a scheme, like ntfys://ntfy.example/topic")
    reason = ""
    with _collecting():
        try:
            plugin = Apprise.instantiate(url, asset=_asset(), suppress_exceptions=False)
        except Exception as error:  # noqa: BLE001 - as above; most raise TypeError
            plugin, reason = None, _mask_of(url, shows_host=False)(str(error))
    if plugin is not None and len(plugin) == 0:
        plugin, reason = None, "it names nobody to notify"
    if plugin is None:
        raise ValueError(f"{name}: {_refusal(scheme.lower(), reason)}")
    if not _has(url, "cto"):
        plugin.socket_connect_timeout = connect_timeout
    if not _has(url, "rto"):
        plugin.socket_read_timeout = timeout
    if not _has(url, "overflow"):
        # Apprise's own default sends what the service refuses.
        plugin.overflow_mode = OverflowMode.TRUNCATE
    plugin.logger = _logger()
    return AppriseService(name, plugin, _mask_of(url, shows_host="host" in plugin.template_tokens))


def _refusal(scheme: str, reason: str) -> str:
    """Returns why Apprise made no service of a URL with this scheme; it gives a reason itself only now and then."""
    from apprise import NotificationManager

    services: Any = NotificationManager()  # type: ignore[no-untyped-call]  # of Apprise
    if scheme in services:
        if not services[scheme].enabled:
            return f"{scheme}:// needs further packages{_packages(services[scheme].requirements)}"
        return f"Apprise cannot use this URL of {scheme}://: {_one_line(reason) or 'it is not complete'}"
    if scheme in ("http", "https"):
        return f"no service of Apprise has this address: for a server of your own use json{scheme[4:]}://, or a webhook"
    near = difflib.get_close_matches(scheme, services.schemas(), n=1)
    shown = f"{scheme}://" if re.fullmatch(r"[a-z0-9+.-]{1,20}", scheme) else "of this URL"
    return f"no service of Apprise has the scheme {shown}" + (f"; did you mean {near[0]}://?" if near else "")


def _packages(requirements: Mapping[str, Any]) -> str:
    packages = requirements.get("packages_required") or []
    return f": {packages if isinstance(packages, str) else ', '.join(packages)}" if packages else ""


def _asset() -> AppriseAsset:
    """Returns the settings of all services: no threads, and a redirect, which drops the message, is a failure."""
    from apprise import AppriseAsset

    return AppriseAsset(
        app_id="publisher", app_desc="publisher", async_mode=False, http_redirects=False, service_timeout=0
    )


def _has(url: str, parameter: str) -> bool:
    return re.search(rf"[?&]{parameter}=", url, re.IGNORECASE) is not None


def _plain(reason: str) -> str:
    """Returns Apprise's reason without what the libraries below it have around theirs."""
    return _NOT_CONNECTED.sub(r"\1:\2: \3", reason)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."


def _mask_of(url: str, *, shows_host: bool) -> Callable[[str], str]:
    """Returns a function that masks every part of this URL but its scheme, its port and a real host.

    Any part may be a secret: a token in the place of the host or the user, a topic in the path, a key in the query.
    """
    rest = url.partition("://")[2]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    host = re.sub(r":\d+$", "", place)
    parts = {*re.split(r"[/?&@#\s]+", rest), *re.split(r"[/?&=@:#,;\s]+", rest)}
    parts |= {form for part in parts for form in (unquote(part), quote(unquote(part), safe=""))}
    if shows_host and re.search(r"[.:]|^localhost$", host):
        parts -= {host, place, quote(place, safe="")}
    parts = {part for part in parts if len(part) >= _SHORTEST_SECRET}
    # Longest first: one may be a part of another. A mere word is masked as a whole word: "notify" is in "notification".
    forms = [
        re.escape(part) if any(map(str.isdigit, part)) else rf"(?<!\w){re.escape(part)}(?!\w)"
        for part in sorted(parts, key=len, reverse=True)
    ]
    if not forms:
        return str
    pattern = re.compile("|".join(forms))
    return lambda text: pattern.sub("***", text)


# Of the thread that collects, and None elsewhere: Apprise has one logger for all.
_reasons: ContextVar[list[str] | None] = ContextVar("reasons", default=None)


def _taken(record: logging.LogRecord) -> bool:
    """Takes what Apprise logs in a thread that collects it; returns whether the record goes on to the program's log.

    Only warnings are kept, and the texts of exceptions, which Apprise logs as debug output.
    """
    texts = _reasons.get()
    if texts is None:
        return True
    if record.levelno >= logging.WARNING or "Exception:" in str(record.msg):
        texts.append(record.getMessage())
    return False


@contextmanager
def _collecting() -> Iterator[list[str]]:
    """Yields the list of what Apprise logs in this thread until the block ends."""
    logging.getLogger("apprise").addFilter(_taken)  # it is there once, however often it is added, and stays
    texts: list[str] = []
    before = _reasons.set(texts)
    try:
        yield texts
    finally:
        _reasons.reset(before)


def _logger() -> logging.Logger:
    """Returns a logger with Apprise's debug output, which has the texts of exceptions; no program's log has that."""
    logger = logging.Logger("apprise", logging.DEBUG)
    logger.addFilter(_taken)
    return logger
