"""The targets: each a function of bytes, inputs to begin with, and the errors that it is documented to raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import files, linux, requests, subscribers, windows

FINDINGS = Path(__file__).with_name("findings")
"""Inputs that raised something else once, in a folder for each target."""


class Target(NamedTuple):
    """An edge; anything but `errors` that `take` raises is a finding."""

    take: Callable[[bytes], object]
    seeds: Callable[[], Iterable[bytes]]
    errors: tuple[type[Exception], ...] = ()

    def try_one(self, data: bytes) -> None:
        """Takes the bytes; raises what is not documented."""
        with suppress(*self.errors):
            self.take(data)


TARGETS: Mapping[str, Target] = {
    "netlink_messages": Target(linux.messages, linux.seeds, linux.ERRORS),
    "netlink_dump": Target(linux.dump, linux.seeds, linux.ERRORS),
    "netlink_routes": Target(linux.routes, linux.seeds, linux.ERRORS),
    "windows_structures": Target(windows.structures_of, windows.seeds, windows.ERRORS),
    "journal_file": Target(files.journal, files.journal_seeds, files.JOURNAL_ERRORS),
    "recording": Target(files.recording, files.recording_seeds, files.RECORDING_ERRORS),
    "configuration": Target(files.configuration, files.configuration_seeds, files.CONFIGURATION_ERRORS),
    "environment": Target(files.environment, files.environment_seeds, files.CONFIGURATION_ERRORS),
    "mqtt_messages": Target(subscribers.broker, subscribers.broker_seeds),
    "nats_values": Target(subscribers.bucket, subscribers.bucket_seeds),
    "page_stream": Target(subscribers.page, subscribers.page_seeds, subscribers.PAGE_ERRORS),
    "replay_requests": Target(requests.replay, requests.replay_seeds),
    "webhook_answers": Target(requests.answer, requests.answer_seeds, requests.ANSWER_ERRORS),
    "page_requests": Target(requests.page, requests.page_seeds),
}
