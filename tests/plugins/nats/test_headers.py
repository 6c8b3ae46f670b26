"""Promise: the headers of a message are read as nats-py reads them, in less time."""

from __future__ import annotations

import pytest

from publisher_nats.client import NatsClient


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        (b"KV-Operation: DEL\r\nNats-TTL:30s\r\n", {"KV-Operation": "DEL", "Nats-TTL": "30s"}),
        (b"A:\t1 \r\n B : 2:3\r\nA: 4\r\n\r\n", {"A": "4", "B": "2:3"}),
        (b"no colon\r\ntwo words: 1\r\n: 2\r\n\xc3\xa9: 3\r\nvalue: \xc3\xa9 \xff\r\n", {"value": "\xe9 \ufffd"}),
        (b"", {}),
    ],
)
def test_a_block_of_headers_is_read(block: bytes, headers: dict[str, str]) -> None:
    assert NatsClient._parse_header_lines(block) == headers
