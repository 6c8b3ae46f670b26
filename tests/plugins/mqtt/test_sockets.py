"""Acknowledgements taken out of the stream, whatever pieces it comes in, and sockets that read ahead."""

from __future__ import annotations

import random
import socket
import tracemalloc
from collections.abc import Iterator

import pytest

from publisher_mqtt.client.acknowledgements import Acknowledgements
from publisher_mqtt.client.sockets import BufferedSocket

PINGRESP = b"\xd0\x00"
PUBACK = b"\x40\x02\x01\x02"
REFUSED = b"\x40\x03\x01\x03\x97"
WITH_PROPERTIES = b"\x40\x06\x01\x04\x00\x02\x1f\x00"
# A reason string of 130 bytes: the length of the packet has two bytes.
WITH_LONG_REASON = b"\x40\x8a\x01\x01\x05\x87\x85\x01\x1f\x00\x82" + b"r" * 130
# A PUBLISH whose payload looks like acknowledgements, with a length of two bytes.
PUBLISH = b"\x30\xc8\x01\x00\x01a" + PUBACK * 49 + b"x"
# The same on a topic whose messages are dropped, and one of QoS 1, which are never.
DROPPED = b"\x30\xcc\x01\x00\x05drops" + PUBACK * 49 + b"x"
KEPT = b"\x32\x0a\x00\x05drops\x00\x01x"


def taken(pieces: list[bytes]) -> tuple[list[tuple[int, int]], bytes]:
    """Returns the acknowledgements, and what is left for paho."""
    found: list[tuple[int, int]] = []
    stream = Acknowledgements(lambda mid, code: found.append((mid, code)), lambda topic: topic == b"drops")
    return found, b"".join(stream.take(piece) for piece in pieces)


def in_pieces(data: bytes, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(len(data))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@pytest.mark.parametrize("seed", range(50))
def test_each_acknowledgement_is_taken_in_whatever_pieces_it_comes_and_all_else_passes(seed: int) -> None:
    packets = [PUBACK, PINGRESP, REFUSED, PUBLISH, DROPPED, KEPT, WITH_PROPERTIES, WITH_LONG_REASON] * 5
    random.Random(seed).shuffle(packets)
    found, others = taken(in_pieces(b"".join(packets), seed))
    meanings = {
        PUBACK: (0x102, 0),
        REFUSED: (0x103, 0x97),
        WITH_PROPERTIES: (0x104, 0),
        WITH_LONG_REASON: (0x105, 0x87),
    }
    assert found == [meanings[packet] for packet in packets if packet in meanings]
    assert others == b"".join(packet for packet in packets if packet not in meanings and packet != DROPPED)


def test_an_acknowledgement_without_end_is_not_kept() -> None:
    head, part = b"\x40\xff\xff\xff\x7f\x01\x06\x87", b"r" * 32768
    found: list[tuple[int, int]] = []
    stream = Acknowledgements(lambda mid, code: found.append((mid, code)))
    tracemalloc.start()
    try:
        assert stream.take(head) == b""
        before, _ = tracemalloc.get_traced_memory()
        assert b"".join(stream.take(part) for _ in range(100)) == b""
        assert tracemalloc.get_traced_memory()[0] - before < 2 * len(part)
    finally:
        tracemalloc.stop()
    assert found == [(0x106, 0x87)]


@pytest.mark.parametrize("wrong", [b"\x40\x00", b"\x40\x01\x01", b"\x30\xff\xff\xff\xff\xff\xff", b"\x30\x01\x00"])
def test_what_is_no_packet_is_left_to_paho_to_refuse(wrong: bytes) -> None:
    found, others = taken([wrong])
    assert (found, others) == ([], wrong)


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    near, far = socket.socketpair()
    plain = BufferedSocket(near.family, near.type, near.proto, near.detach())
    plain.setblocking(False)
    with plain, far:
        yield plain, far


def test_one_read_takes_everything_that_came(pair: tuple[BufferedSocket, socket.socket]) -> None:
    near, far = pair
    found: list[tuple[int, int]] = []
    near.acknowledgements = Acknowledgements(lambda mid, code: found.append((mid, code)))
    far.sendall(PUBACK * 200 + PINGRESP)
    assert near.recv(1) == b"\xd0"
    assert len(found) == 200
    assert near.left == 1
    assert near.recv(1) == b"\x00"
    assert near.left == 0


def test_acknowledgements_alone_are_no_end_of_the_stream(pair: tuple[BufferedSocket, socket.socket]) -> None:
    near, far = pair
    near.acknowledgements = Acknowledgements(lambda _mid, _code: None)
    far.sendall(PUBACK)
    with pytest.raises(BlockingIOError):
        near.recv(1)
    far.close()
    assert near.recv(1) == b""


def test_what_came_before_the_end_is_read_though_sending_fails(pair: tuple[BufferedSocket, socket.socket]) -> None:
    near, far = pair
    far.sendall(PINGRESP)
    far.close()
    assert near.send(b"more") == 4
    assert near.recv(1) + near.recv(1) + near.recv(1) == PINGRESP


def test_what_is_held_back_goes_in_one_piece_and_in_order(pair: tuple[BufferedSocket, socket.socket]) -> None:
    near, far = pair
    near.send(b"first")
    assert far.recv(100) == b"first"
    near.holds = True
    sent = [b"%04d" % number for number in range(100)]
    assert all(near.send(piece) == 4 for piece in sent)
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    near.release()
    assert far.recv(1000) == b"".join(sent)
    near.send(b"last")
    assert far.recv(100) == b"last"


def test_everything_is_taken_and_goes_in_order_though_there_is_little_room(
    pair: tuple[BufferedSocket, socket.socket],
) -> None:
    near, far = pair
    far.settimeout(5)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sent = [b"%06d" % number * 100 for number in range(1000)]
    for number, piece in enumerate(sent):
        near.holds = number % 3 == 0
        assert near.send(piece) == len(piece)
    assert near.is_holding
    received = b""
    while len(received) < 600_000:
        near.release()
        received += far.recv(4096)
    assert received == b"".join(sent)
    assert not near.is_holding


def test_paho_is_called_for_packets_ends_and_errors_only(pair: tuple[BufferedSocket, socket.socket]) -> None:
    near, far = pair
    near.acknowledgements = Acknowledgements(lambda _mid, _code: None)
    assert not near.look()
    far.sendall(PUBACK)
    assert not near.look()
    far.sendall(PUBACK + PINGRESP)
    assert near.look()
    assert near.recv(10) == PINGRESP
    far.close()
    assert near.look()
    assert near.recv(1) == b""
    near.close()
    assert near.look()
    with pytest.raises(OSError, match="Bad file descriptor"):
        near.recv(1)
