"""The options of a nats sink, and the names in a bucket."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from publisher.secret_options import secrets_in
from publisher_nats.names import NodeSubjects, node_of, token_of
from publisher_nats.options import NatsOptions

SERVERS = ["nats://a.lan", "nats://b.lan:4333"]


def options(**more: Any) -> NatsOptions:
    return NatsOptions.model_validate({"servers": SERVERS} | more)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"servers": []}, "at least 1 item"),
        ({"servers": ["mqtt://a"]}, "expected nats:// or tls://"),
        ({"servers": ["nats://u:p@a"]}, "without a password"),
        ({"servers": ["nats://a:0"]}, "a port from 1 to 65535"),
        ({"servers": ["nats://a:99999"]}, "a port from 1 to 65535"),
        ({"servers": ["nats://"]}, "expected a URL with a host"),
        ({"servers": ["nats://a/bucket"]}, "the option bucket names the bucket"),
        ({"servers": ["nats://a", "nats://a:4222"]}, "each server once: a:4222"),
        ({"servers": ["nats://a", "tls://b"]}, "tls:// for each server, or for none"),
        ({"servers": ["nats://u@a", "nats://v@b"]}, "one user name"),
        ({"servers": ["nats://u@a"], "username": "u"}, "one user name"),
        ({"password": "x"}, "expected username beside the password"),
        ({"username": "u", "password": "x", "password_file": "f"}, "password or password_file, not both"),
        ({"token": "x", "token_file": "f"}, "token or token_file, not both"),
        ({"username": "u", "token": "x"}, "one way to log in, not user and password and token"),
        ({"credentials_file": "f", "nkey_file": "g"}, "one way to log in, not credentials_file and nkey_file"),
        ({"ca_file": "f"}, "tls:// beside ca_file"),
        ({"servers": ["tls://a"], "key_file": "f"}, "cert_file beside key_file"),
        ({"bucket": "a.b"}, "should match pattern"),
        ({"lease": "1s"}, 'expected a time from "2s" to "1h"'),
        ({"history": 65}, "less than or equal to 64"),
        ({"replicas": 2}, "1, 3 or 5"),
        ({"url": "nats://a"}, "Extra inputs"),
    ],
)
def test_a_mistake_is_an_error_that_says_what_is_expected(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        options(**given)


def test_an_error_repeats_no_password() -> None:
    with pytest.raises(ValidationError) as refused:
        options(servers=["nats://u:hunter22@a"])
    assert "hunter22" not in str(refused.value)


def test_one_server_may_be_a_text() -> None:
    assert options(servers="nats://a").servers == ("nats://a",)


def test_the_destination_depends_on_the_bucket_and_no_secret() -> None:
    one = options(username="u", password="hunter22")
    assert one.destination == "nats://a.lan:4222,b.lan:4333/interfaces"
    assert options(servers=[*reversed(SERVERS)]).destination == one.destination
    assert options(bucket="others").destination != one.destination
    assert options(domain="hub").destination != one.destination
    assert one.exclusive == one.destination


def test_secrets_are_known_as_such() -> None:
    assert [*secrets_in(options(username="u", password="hunter22"))] == ["hunter22"]
    assert [*secrets_in(options(token="a-token-of-mine"))] == ["a-token-of-mine"]
    assert "hunter22" not in repr(options(username="u", password="hunter22"))


@pytest.mark.parametrize(
    ("node", "token"),
    [("nas", "nas"), ("nas.home.lan", "nas=2Ehome=2Elan"), ("a=b", "a=3Db"), ("ж*> ", "=D0=B6=2A=3E=20")],
)
def test_a_node_is_one_token(node: str, token: str) -> None:
    assert token_of(node) == token
    assert node_of(token) == node


@given(st.text(min_size=1))
def test_a_token_is_read_back(node: str) -> None:
    token = token_of(node)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", token)
    assert node_of(token) == node


@pytest.mark.parametrize("token", ["", "a.b", "a*", "=2e", "=", "=FF", "=41", "a b"])
def test_a_text_that_is_no_token_is_an_error(token: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        node_of(token)


def test_only_rows_of_the_node_are_its_rows() -> None:
    subjects = NodeSubjects("interfaces", "nas")
    assert subjects.row("0006008001000000", "inet6") == "$KV.interfaces.nas.0006008001000000.inet6"
    assert subjects.is_row(subjects.row("0006008001000000", "inet"))
    for other in ("nas.position", "nas2.0006008001000000.inet", "nas.x.inet", "nas.0006008001000000.inet.more"):
        assert not subjects.is_row(f"$KV.interfaces.{other}")
