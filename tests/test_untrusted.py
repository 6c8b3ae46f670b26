"""Foreign bytes: a value or an UntrustedError, and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from publisher.events import Event, IpInterface
from publisher.testing import make_event, make_row
from publisher.untrusted import UntrustedError, parse_json, parse_model

DEEP = 200_000
NUMBERS = [b"1e999", b"-1e999", b"9" * 5000, b"-" + b"9" * 5000, str(1 << 64).encode(), str(-(1 << 63) - 1).encode()]
REFUSED = [
    b"",
    b" ",
    b"[",
    b"[" * DEEP,
    b'{"a":' * DEEP,
    b"[" * DEEP + b"]" * DEEP,
    b"[" * 33 + b"]" * 33,
    b'{"a":1,"a":2}',
    b'[{"a":{"b":1,"b":1}}]',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'{"\\uDBFF":1}',
    b'[[{"a":["\\uDfff"]}]]',
    b"NaN",
    b"-Infinity",
    b"[Infinity]",
    b"\xef\xbb\xbf{}",
    b'{"a":1}'.decode().encode("utf-16"),
    b"\x00",
    b'"\x00"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b"{'a':1}",
    b"1 2",
    b"01",
    b"nul",
    b'"\\x41"',
    *NUMBERS,
    *(b'{"a":[%b]}' % number for number in NUMBERS),
]


class Thing(BaseModel):
    """A small model, as an edge would have it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    seq: int = 0


def parsed(data: bytes) -> Any:
    return parse_json(data, max_bytes=1 << 20)


@pytest.mark.parametrize("data", REFUSED, ids=lambda data: repr(data[:24]))
def test_what_is_refused_has_a_short_printable_reason(data: bytes) -> None:
    with pytest.raises(UntrustedError) as refusal:
        parsed(data)
    reason = str(refusal.value)
    assert reason
    assert reason.isprintable()
    assert len(reason) < 220


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"null", None),
        (b' {"a" : [1, -2.5, "x", true]} \n', {"a": [1, -2.5, "x", True]}),
        (b'"\\ud83d\\ude00 \\u0000"', "\U0001f600 \x00"),
        ('"\u043f\u0440\u0438\u0432\u0435\u0442"'.encode(), "\u043f\u0440\u0438\u0432\u0435\u0442"),
        (b'"' + b"[" * 1000 + b'\\"' + b"{" * 1000 + b'"', "[" * 1000 + '"' + "{" * 1000),
        (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
        (b"[" + b"[]," * 5000 + b"{}]", [*([[]] * 5000), {}]),
        (str((1 << 64) - 1).encode(), (1 << 64) - 1),
        (str(-(1 << 63)).encode(), -(1 << 63)),
        (b"1e-999", 0.0),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_other_json_is_its_value(data: bytes, value: object) -> None:
    assert parsed(data) == value


def test_the_size_is_checked_before_anything_else() -> None:
    assert parse_json(b"[1,2]", max_bytes=5) == [1, 2]
    with pytest.raises(UntrustedError, match="6 bytes, which is more than 5"):
        parse_json(b"[1,22]", max_bytes=5)


def test_a_model_is_strict_and_its_faults_name_the_member() -> None:
    assert parse_model(b'{"name":"nas"}', Thing, max_bytes=100) == Thing(name="nas")
    for data, member in (
        (b'{"name":1}', "name: "),
        (b'{"name":"nas","seq":"1"}', "seq: "),
        (b'{"name":"nas","\\u001b[2J":1}', "x1b[2J: "),
        (b"[]", "object"),
    ):
        with pytest.raises(UntrustedError) as refusal:
            parse_model(data, Thing, max_bytes=100)
        assert member in str(refusal.value)
        assert str(refusal.value).isprintable()


def test_a_model_takes_what_json_has_for_times_and_tuples() -> None:
    row = make_row("eth0", addresses=["192.0.2.1/24"])
    assert parse_model(row.__pydantic_serializer__.to_json(row), IpInterface, max_bytes=1 << 20) == row


PAYLOADS = [
    make_event(3, row=make_row("eth0", addresses=["192.0.2.1/24", "2001:db8::1/64"])).json_bytes,
    b'{"since":{"epoch":"01926f6e8c7e4b3f","seq":42},"client":"x","luid":["0006008001000000"]}',
    b'{"device":{"name":"nas"},"origin":{"name":"x"},"components":{"a":{"platform":"sensor","b":[1e3,null]}}}',
]
PIECES = [
    b"[", b"]", b"{", b"}", b'"', b"\\", b"\\u", b"\\ud800", b",", b":", b"\x00", b"\xff", b"\xef\xbb\xbf", b"1e999",
    b"NaN", b"9" * 4400, b"-", b".", b"[" * 3000, b'{"a":' * 3000, b'"seq":1,', b"null", b"0001-01-01T00:00:00Z",
    b"9999-12-31T23:59:59Z",
]  # fmt: skip


def mutated(seed: int, rounds: int) -> Iterator[bytes]:
    """Yields real payloads with bytes cut, repeated, flipped and put in."""
    chance = random.Random(seed)
    for _ in range(rounds):
        data = bytearray(chance.choice(PAYLOADS))
        for _ in range(chance.randint(1, 6)):
            at, upto = sorted(chance.randrange(len(data) + 1) for _ in range(2))
            match chance.randrange(5):
                case 0:
                    del data[at : at + chance.randint(1, 8)]
                case 1:
                    data[at:at] = chance.choice(PIECES)
                case 2:
                    data[at:at] = data[at:upto]
                case 3 if at < len(data):
                    data[at] ^= 1 << chance.randrange(8)
                case _:
                    data[at:upto] = chance.choice(PIECES)
        yield bytes(data)


@pytest.mark.parametrize("model", [Event, IpInterface, Thing], ids=lambda model: model.__name__)
def test_nothing_but_untrusted_error_escapes_from_mutated_payloads(model: type[BaseModel]) -> None:
    reasons, taken = [], 0
    for data in mutated(seed=20261125, rounds=4000):
        try:
            parse_model(data, model, max_bytes=1 << 16)
        except UntrustedError as refusal:
            reasons.append(str(refusal))
        else:
            taken += 1
            # It can be written again.
            json.dumps(parsed(data), ensure_ascii=False, allow_nan=False).encode()
    assert reasons
    assert all(map(str.isprintable, reasons))
    assert taken or model is Thing or model is IpInterface


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_nothing_but_untrusted_error_escapes_from_any_bytes(data: bytes) -> None:
    try:
        value = parsed(data)
    except UntrustedError:
        return
    assert value == json.loads(data)
