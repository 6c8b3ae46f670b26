"""The notify sink: one message for each change, to every URL, in order."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from pydantic import SecretStr

from publisher import ConfigurationError, Event, Rejected, Retry, Sink, SinkContext
from publisher.credentials import read_secrets
from publisher.text import joined, text_of

from .options import NotifyOptions
from .services import AppriseService, NotifyMessage, NotTaken, Severity
from .template import Template

# The messages of a batch are repeated after a kill; while one service is away, the others get so many ahead of it.
_USUAL_BATCH = 8
_LARGEST_BATCH = 32
_MOST_KNOWN = 1000
_BAD = {"link_down", "speed_decreased", "address_removed", "default_route_removed", "removed"}
_GOOD = {"link_up", "speed_increased"}


class Recipient:
    """A service, with what it has got of the events that others still lack, and since when it refuses messages."""

    def __init__(self, service: AppriseService) -> None:
        self.service = service
        self.refusing_since: float | None = None
        self._has: dict[str, None] = {}

    def has(self, events: Sequence[Event]) -> bool:
        """Returns whether it got all of these events."""
        return all(event.id in self._has for event in events)

    def send(self, message: NotifyMessage, events: Sequence[Event]) -> None:
        """Sends the message of these events; raises NotTaken."""
        try:
            self.service.send(message)
        except NotTaken as error:
            self.refusing_since = (self.refusing_since or time.monotonic()) if error.refused else None
            raise
        self.refusing_since = None
        self._has |= dict.fromkeys(event.id for event in events)
        for event_id in list(self._has)[:-_MOST_KNOWN]:
            del self._has[event_id]

    def drop(self, events: Sequence[Event]) -> None:
        """Forgets that it has these events: each recipient has them."""
        for event in events:
            self._has.pop(event.id, None)


class NotifySink(Sink):
    """Sends a line of text for each change, to phones and chats, by the services that Apprise knows."""

    Options = NotifyOptions
    options: NotifyOptions
    batch_size = _USUAL_BATCH

    def __init__(self, options: NotifyOptions, context: SinkContext) -> None:
        super().__init__(options, context)
        self._title = Template(options.title)
        self._text = Template(options.text)
        self._urls: tuple[SecretStr, ...] | None = None
        self._recipients: list[Recipient] = []

    def open(self) -> None:
        """Reads the URLs; sends nothing. Raises ConfigurationError."""
        self._load()

    def publish(self, events: Sequence[Event]) -> None:
        """Sends a message for each change to each service that lacks it.

        A service that does not take a message gets nothing more in this call, and the others go on.
        """
        self._load()
        failures: dict[Recipient, NotTaken] = {}
        for change in joined(events):
            self._deliver(change, failures)
        index = next((index for index, event in enumerate(events) if self._lacking(event)), len(events))
        for recipient in self._recipients:
            recipient.drop(events[:index])
        self.batch_size = _LARGEST_BATCH if failures else _USUAL_BATCH
        if failures:
            self._fail(index, {recipient: failures[recipient] for recipient in self._lacking(events[index])})

    def check(self) -> str:
        """Returns the services' names; nothing is sent. Raises ConfigurationError."""
        self._load()
        names = ", ".join(recipient.service.name for recipient in self._recipients)
        return f"{names}: usable by Apprise; a check sends nothing, so it is not known if they take messages"

    def _load(self) -> None:
        """Reads the URLs, those of a file again each time: a new one counts without a restart."""
        file, urls, option = self.options.urls_file, self.options.urls, "urls"
        if file is not None:
            option = "urls_file"
            urls = tuple(map(SecretStr, read_secrets(file, option)))
        if urls != self._urls:
            try:
                services = self.options.services(urls, option)
            except ValueError as error:
                raise ConfigurationError(f"{error} ({file})") from None
            self._recipients, self._urls = list(map(Recipient, services)), urls

    def _deliver(self, change: Sequence[Event], failures: dict[Recipient, NotTaken]) -> None:
        """Sends the message of one change to each that lacks it and took the ones before."""
        for recipient in self._recipients:
            if recipient not in failures and not recipient.has(change):
                try:
                    recipient.send(self._message(change), change)
                except NotTaken as error:
                    failures[recipient] = error

    def _lacking(self, event: Event) -> list[Recipient]:
        return [recipient for recipient in self._recipients if not recipient.has([event])]

    def _message(self, change: Sequence[Event]) -> NotifyMessage:
        kinds = {kind for event in change for kind in event.kinds}
        severity: Severity = "warning" if kinds & _BAD else "success" if kinds & _GOOD else "info"
        # The beginning of a snapshot, and a mark of loss, are about no interface: in a text, each name would be "?".
        text = text_of(change) if change[0].is_marker else self._text.render(change)
        return NotifyMessage(self._title.render(change)[:250], text, severity)

    def _fail(self, index: int, failures: Mapping[Recipient, NotTaken]) -> None:
        """Raises Rejected when each of these has refused for too long, else Retry."""
        reason = "; ".join(map(str, failures.values()))
        limit = time.monotonic() - self.options.retry_refusals.total_seconds()
        if all(each.refusing_since is not None and each.refusing_since <= limit for each in failures):
            raise Rejected(reason, index=index)
        raise Retry(reason, index=index)
