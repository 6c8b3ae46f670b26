"""Requests: answers, who may ask, and what hostile clients try."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress

import pytest
from pydantic import ValidationError

from publisher.testing import make_row
from publisher_web.http import connection, server
from publisher_web.http.addresses import ListenAddress
from publisher_web.http.guard import AllowedHosts
from publisher_web.options import WebOptions
from publisher_web.shown.host import ShownHost
from publisher_web.shown.interfaces import Unavailable
from tests.fixtures.poll import wait_for
from tests.fixtures.sse import dialled
from tests.plugins.web.conftest import PageHouse
from tests.plugins.web.test_events import published

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHouse]:
    """A page without a token, for the tests that change nothing."""
    house = PageHouse(tmp_path_factory.mktemp("page"))
    with house.page(hosts=["nas.example"]) as service:
        published(house, service, 3)
        assert house.get("/api/history").status == 200  # begins the thread that reads the journal
        yield house


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHouse]:
    """A page with a token."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "token").write_text(f"{TOKEN}\n")
    house = PageHouse(folder)
    with house.page(token_file=str(folder / "token")):
        assert house.get("/api/history", f"Authorization: Bearer {TOKEN}").status == 200
        yield house


def test_rows_are_as_in_the_snapshot_and_nothing_is_older_than_what_was_shown(house: PageHouse) -> None:
    with house.page() as service:
        for _ in range(5):
            last = published(house, service, 1)
            answer = house.get("/api/rows").json
            assert answer["nodes"] == [
                {"node": "testnode", "online": True, "in_sync": True, "epoch": service.status()["epoch"]}
                | {"seq": last, "skips": False, "os": answer["nodes"][0]["os"]}
            ]
            [row] = answer["rows"]
            assert (row["seq"], row["row"]["metric"], row["family"]) == (last, house.metric, "inet")
            assert sorted(row) == sorted(
                ("node", "epoch", "seq", "time", "luid", "family", "row", "interface", "addresses", "default_routes")
            )
        assert (answer["fleet"], answer["flaps"]) == (False, {"testnode": {}})


def test_history_is_newest_first_from_before_the_page_was_opened(house: PageHouse) -> None:
    with house.page() as service:
        published(house, service, 10)
    with house.page():
        luid = make_row("eth0", index=2).luid
        found = house.get(f"/api/history?luid={luid}&limit=4&family=inet").json
        assert ([event["seq"] for event in found["events"]], found["more"]) == ([10, 9, 8, 7], True)
        assert "eth0" in found["events"][0]["text"]
        found = house.get("/api/history?before=4&node=testnode").json
        assert ([event["seq"] for event in found["events"]], found["more"]) == ([3, 2, 1], False)
        assert house.get("/api/history?node=other").json == {"events": [], "more": False}


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "luid=..", "family=inet5", "before=-1", "nope=1"])
def test_a_question_that_makes_no_sense_is_answered_with_the_reason(page: PageHouse, query: str) -> None:
    answer = page.get(f"/api/history?{query}")
    assert answer.status == 400
    assert query.partition("=")[0] in answer.json["error"]


def test_the_status_is_that_of_the_command(page: PageHouse) -> None:
    status = page.get("/api/status").json
    assert (status["node"], status["healthy"], status["sinks"]["web"]["state"]) == ("testnode", True, "following")


def test_the_page_and_its_files_are_served_with_their_headers(page: PageHouse) -> None:
    first = page.get("/")
    assert (first.status, first.headers["content-type"]) == (200, "text/html; charset=utf-8")
    script = page.get("/page/main.js")
    assert (script.status, script.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert page.get("/page/main.js", f"If-None-Match: {script.headers['etag']}").status == 304
    answers = [
        first,
        script,
        page.get("/api/rows"),
        page.get("/api/status"),
        page.get("/nope"),
        page.get("/", host="x"),
    ]
    for answer in answers:
        assert answer.headers["content-security-policy"] == _CSP
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "date" in answer.headers
        assert not [name for name in answer.headers if name.startswith("access-control") or name == "server"]
    assert [answer.headers.get("cache-control") for answer in answers[:4]] == ["no-cache"] * 2 + ["no-store"] * 2


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_the_page_is_only_read(page: PageHouse, method: str) -> None:
    answer = page.get("/api/rows", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    "path",
    [
        "/page/../sink.py",
        "/page/..%2fsink.py",
        "/page/%2e%2e/sink.py",
        "/page//etc/passwd",
        "/page/",
        "/page/__init__.py",
        "/page/..%5csink.py",
        "/page/%00",
        "//page/main.js",
        "/api",
        "/api/rows/",
        "/events/",
        "/%ff",
        "http://x/",
    ],
)
def test_no_path_leads_elsewhere(page: PageHouse, path: str) -> None:
    assert page.get(path).status == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8780", "192.0.2.1", "127.0.0.1.evil.example", "", "[::", "a b"]
)
@pytest.mark.parametrize("path", ["/", "/page/main.js", "/api/rows", "/events"])
def test_a_name_of_another_site_that_leads_here_is_refused(page: PageHouse, host: str, path: str) -> None:
    answer = page.raw(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.status in (400, 403)
    assert b"luid" not in answer.body


def test_names_of_this_host_are_taken(page: PageHouse) -> None:
    for host in ("localhost", f"localhost:{page.port}", "127.0.0.1:9", "[::1]:8780", "LOCALHOST.", "nas.example:443"):
        assert page.get("/api/status", host=host).status == 200


def test_every_address_of_a_host_is_taken_where_the_page_listens_on_all() -> None:
    hosts = AllowedHosts(ListenAddress.of("0.0.0.0:8780"), ())
    assert [name in hosts for name in ("192.0.2.7:8780", "[fd00::7]", "evil.example", "8.8.8.8.evil.example")] == [
        True,
        True,
        False,
        False,
    ]
    assert f"{socket.gethostname()}:8780" in hosts
    assert "192.0.2.8" not in AllowedHosts(ListenAddress.of("192.0.2.7:8780"), ())


def test_other_sites_get_nothing(page: PageHouse) -> None:
    for site in ("cross-site", "same-site"):
        for path in ("/api/rows", "/events", "/page/main.js"):
            assert page.get(path, f"Sec-Fetch-Site: {site}", "Origin: http://evil.example").status == 403
        assert page.get("/", f"Sec-Fetch-Site: {site}").status == 200
    assert page.get("/api/rows", "Sec-Fetch-Site: same-origin").status == 200


def test_without_the_token_there_is_nothing(locked: PageHouse) -> None:
    wrong = ["Authorization: Bearer wrong", f"Authorization: Basic {TOKEN}", "Authorization: Bearer", "X: y"]
    wrong += [f"Cookie: publisher-{locked.port}={TOKEN}", f"Cookie: publisher-{locked.port}=", 'Cookie: ="\\;;;=']
    for line in wrong:
        for path in ("/", "/page/main.js", "/api/rows", "/api/status", "/events", "/?token=wrong", "/?token=", "/nope"):
            answer = locked.get(path, line)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), (line, path)
    assert locked.get(f"/api/rows?token={TOKEN}").status == 401, "a token in an address is kept by logs and histories"


def test_the_token_is_given_as_a_header(locked: PageHouse) -> None:
    for path in ("/", "/page/main.js", "/api/rows"):
        assert locked.get(path, f"Authorization: Bearer {TOKEN}").status == 200
    with locked.events(Authorization=f"bearer {TOKEN}") as viewer:
        viewer.until_snapshot()


def test_the_token_is_given_once_in_the_address(locked: PageHouse) -> None:
    answer = locked.get(f"/?x=1&token={TOKEN}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert TOKEN not in cookie
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert "Secure" not in attributes, "the page is http"
    for path in ("/", "/api/rows"):
        # Other programs of this host have cookies, too, which need not be such as the RFC wants.
        for other in ("other=1", 'grafana={"theme":"dark","x":1}', "a[b]=c d", "x"):
            assert locked.get(path, f"Cookie: {other}; {cookie}; more=2").status == 200
    assert locked.get("/api/rows", f"Cookie: {cookie}0").status == 401
    assert b'<link rel="icon" href="data:,">' in locked.get("/").body, "else the browser asks for /favicon.ico"


def test_the_token_is_in_no_line_of_the_log_and_in_no_message(locked: PageHouse) -> None:
    locked.get(f"/?token={TOKEN}")
    locked.raw(f"GET /?token={TOKEN} HTTP/1.1\r\nHost: x\r\nbad header {TOKEN}\r\n\r\n".encode())
    assert locked.log.records
    assert not [record for record in locked.log.records if TOKEN in record.getMessage()]
    with pytest.raises(ValidationError) as told:
        WebOptions.model_validate({"address": "0.0.0.0:1", "token": f"{TOKEN} with spaces"})
    assert TOKEN not in str(told.value)
    assert TOKEN not in repr(WebOptions.model_validate({"address": "0.0.0.0:1", "token": TOKEN}))


def test_garbage_and_huge_heads_are_refused_quietly(page: PageHouse) -> None:
    good = f"GET / HTTP/1.1\r\nHost: localhost:{page.port}\r\nConnection: close\r\n"
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET / HTTP/9.9\r\nConnection: close\r\n\r\n",
        b"GET /\r\n\r\n",
        f"{good}Content-Length: -1\r\n\r\n".encode(),
        f"{good}Host: two\r\n\r\n".encode(),
        f"{good}A: {'a' * 100_000}\r\n\r\n".encode(),
        (good + "".join(f"A{number}: b\r\n" for number in range(20_000)) + "\r\n").encode(),
    ):
        with suppress(ConnectionError):  # it may be closed while this is still sent
            assert page.raw(garbage).status in (400, 403, 431)
    with closing(dialled(page.port)) as broken:
        # The body breaks off in garbage while the answer goes on for ever.
        head = f"GET /events HTTP/1.1\r\nHost: localhost:{page.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        broken.sendall(head.encode())
        broken.recv(100)
        broken.sendall(b"no size\r\n" * 10)
        broken.settimeout(60)
        while _received(broken):
            pass
    told = [record for record in page.log.records if record.levelno >= logging.WARNING]
    assert not told, "who sends garbage fills no log"
    assert page.get("/").status == 200


def test_a_request_that_does_not_come_is_not_waited_for(house: PageHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
    with house.page(), ExitStack() as stack:
        slow = [stack.enter_context(closing(dialled(house.port))) for _ in range(3)]
        slow[1].sendall(b"GET / HTTP/1.1\r\nHost: loc")
        slow[2].sendall(f"GET /api/status HTTP/1.1\r\nHost: localhost:{house.port}\r\n\r\nGET /".encode())
        for one in slow:
            one.settimeout(20)
            began = time.monotonic()
            while _received(one):
                pass
            assert time.monotonic() - began < 15


def test_more_connections_than_are_taken_wait_and_do_no_harm(house: PageHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MOST_CONNECTIONS", 8)
    with house.page() as service, ExitStack() as stack:
        viewer = stack.enter_context(house.events())
        viewer.until_snapshot()
        monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.5)
        for _ in range(30):
            stack.enter_context(closing(dialled(house.port)))
        published(house, service, 1)
        viewer.until_change(1)
        assert house.get("/api/status").status == 200, "those that ask for nothing were closed"


def test_too_many_viewers_are_told_so(house: PageHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publisher_web.http.application._MOST_VIEWERS", 2)
    with house.page():
        with house.events() as first, house.events() as second:
            first.until_snapshot()
            second.until_snapshot()
            answer = house.get("/events")
            assert (answer.status, "viewers" in answer.json["error"]) == (503, True)
        assert house.get("/api/status").status == 200


def test_the_page_closes_in_time_whatever_its_viewers_do(house: PageHouse) -> None:
    with ExitStack() as stack:
        with house.page():
            for _ in range(20):
                stack.enter_context(house.events()).until_snapshot()
            stack.enter_context(closing(dialled(house.port)))
            house.change(3000)
            began = time.monotonic()
        assert time.monotonic() - began < 15  # the service has five seconds to stop; the machine may be busy
    assert not [record for record in house.log.records if "abandoned" in record.getMessage()]
    with pytest.raises(ConnectionRefusedError):
        dialled(house.port)


def test_an_answer_that_is_read_ends_well_when_the_page_closes(
    house: PageHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_END_SECONDS", 4.0)  # as long as the service waits for a sink; a second is not much
    with ThreadPoolExecutor(1) as reading, ExitStack() as stack:
        with house.page():
            reader = stack.enter_context(house.events())
            reader.until_snapshot()
            ended = reading.submit(reader.until, lambda: reader.is_over, "the end of the answer")
            house.change(3000)
        ended.result()


def test_rows_that_cannot_be_read_end_the_answer_and_fill_no_log(
    house: PageHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def snapshot(_: ShownHost) -> None:
        raise Unavailable("the journal takes too long to read; try again")

    with house.page(), monkeypatch.context() as patched:
        patched.setattr(ShownHost, "snapshot", snapshot)
        for _ in range(3):
            with house.events() as viewer:
                viewer.until(lambda: viewer.is_over, "the end of the answer")
    assert not [record for record in house.log.records if record.levelno >= logging.WARNING]


def test_a_taken_port_is_named_and_tried_again(house: PageHouse) -> None:
    with closing(socket.create_server(("127.0.0.1", house.port))):
        settings = house.settings().model_copy(
            update={"sinks": {"web": {"type": "web", "address": f"127.0.0.1:{house.port}"}}}
        )
        with house.running(settings):
            wait_for(lambda: house.log.lines("another program listens there"), what="the reason")


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(1 << 16)
    except ConnectionError:
        return b""
