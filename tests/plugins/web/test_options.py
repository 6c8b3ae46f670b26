"""The options, their messages, `check`, and the page of a first run."""

from __future__ import annotations

import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import ValidationError

from publisher import ConfigurationError
from publisher.testing import FakeSinkContext
from publisher_web import first_run, sink
from publisher_web.http.addresses import ListenAddress, ListenError
from publisher_web.options import WebOptions
from publisher_web.sink import WebSink
from tests.fixtures.ports import free_port
from tests.fixtures.sse import SseClient, dialled
from tests.plugins.web.conftest import PageHouse


def refused(**options: Any) -> str:
    with pytest.raises(ValidationError) as told:
        WebOptions.model_validate(options)
    return str(told.value)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8780", "http://127.0.0.1:8780/"),
        ("localhost:1", "http://localhost:1/"),
        ("[::1]:8780", "http://[::1]:8780/"),
        ("127.1.2.3:80", "http://127.1.2.3:80/"),
    ],
)
def test_loopback_needs_no_token(address: str, url: str) -> None:
    assert WebOptions.model_validate({"address": address}).url == url


@pytest.mark.parametrize("address", ["0.0.0.0:8780", "[::]:8780", "192.0.2.7:8780", "nas.lan:8780", "[fd00::7]:8780"])
def test_an_address_that_others_reach_needs_a_token_and_the_error_says_what_to_do(address: str) -> None:
    told = refused(address=address)
    assert "set token_file (or token)" in told
    assert "127.0.0.1:8780" in told
    WebOptions.model_validate({"address": address, "token": "correct-horse-battery"})


@pytest.mark.parametrize(
    "address", ["8780", ":8780", "127.0.0.1", "::1:8780", "[::1]", "[1.2.3.4]:80", "a b:80", "a:65536"]
)
def test_what_is_no_address_is_an_error(address: str) -> None:
    assert "must be an address and a port" in refused(address=address)


def test_what_contradicts_is_an_error(tmp_path: Path) -> None:
    assert "token or token_file, not both" in refused(token="x" * 20, token_file=str(tmp_path / "t"))
    assert "cert_file beside key_file" in refused(key_file="k.pem")
    assert "names of hosts, without a port" in refused(hosts=["nas.lan:80"])
    for given in ({"only": {"kinds": ["link_down"]}}, {"only": {"causes": ["startup"]}}, {"snapshot": False}):
        assert "would be out of date" in refused(**given)


def test_a_token_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    missing = WebOptions.model_validate({"token_file": str(tmp_path / "none")})
    with pytest.raises(ConfigurationError, match="none"):
        missing.read_token()
    (tmp_path / "spaces").write_text("two words\n")
    with pytest.raises(ConfigurationError, match="without spaces") as told:
        WebOptions.model_validate({"token_file": str(tmp_path / "spaces")}).read_token()
    assert "two words" not in str(told.value)


def made(**options: Any) -> WebSink:
    return WebSink(WebOptions.model_validate(options), FakeSinkContext())


def test_check_says_what_is_there() -> None:
    port = free_port()
    assert made(address=f"127.0.0.1:{port}").check() == f"http://127.0.0.1:{port}/ can be opened"
    with closing(socket.create_server(("127.0.0.1", port))):
        assert "a program listens on" in made(address=f"127.0.0.1:{port}").check()
    with pytest.raises(ListenError, match="this host has no such address"):
        made(address="192.0.2.254:8780", token="correct-horse-battery").check()
    with pytest.raises(ConfigurationError, match=r"no\.pem"):
        made(cert_file="no.pem").check()


def test_a_first_run_opens_the_page_on_a_free_port_when_the_usual_one_is_taken() -> None:
    address = f"127.0.0.1:{free_port()}"
    found = first_run.prepare(address)
    assert found.sinks["web"]["address"] == address
    assert (found.lines, found.lines_when_open) == ((), {"web": (f"Open the page:  http://{address}/",)})
    with closing(ListenAddress.of(address).sockets()[0]):
        found = first_run.prepare(address)
    assert found.sinks["web"]["address"] != address
    assert found.lines_when_open == {"web": (f"Open the page:  http://{found.sinks['web']['address']}/",)}


def test_without_the_extra_a_first_run_goes_on_and_says_once_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The line was printed, and logged beside it."""
    monkeypatch.setattr(sink, "find_spec", lambda name: None if name == "uvicorn" else object())
    found = first_run.prepare()
    assert found.sinks == {}
    assert "pip install 'interface-publisher[web]'" in found.lines[0]
    assert not caplog.records
    with pytest.raises(ConfigurationError, match=r"interface-publisher\[web\]"):
        made().check()


def test_https_and_ipv6(house: PageHouse, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost", "::1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)

    def dial(port: int) -> socket.socket:
        plain = socket.create_connection(("::1", port), timeout=10)
        return context.wrap_socket(plain, server_hostname="localhost")

    with house.page(address=f"[::1]:{house.port}", cert_file=str(tmp_path / "cert.pem"), token="correct-horse-battery"):
        headers = {"Authorization": "Bearer correct-horse-battery"}
        with SseClient(house.port, headers=headers, dial=dial) as viewer:
            viewer.until_snapshot()
            house.change()
            viewer.until_change(1)
        with closing(dial(house.port)) as asking:
            asking.sendall(
                b"GET /?token=correct-horse-battery HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            assert b"; Secure" in asking.recv(4096)
        with pytest.raises(ConnectionRefusedError):
            dialled(house.port)
