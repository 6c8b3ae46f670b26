"""The options of a webhook: valid and invalid ones, and no secret in any message about them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from publisher.cli.init import TEMPLATE
from publisher.delivery.plan import _fingerprint
from publisher.errors import ConfigurationError
from publisher_webhook.authentication import load_authentication
from publisher_webhook.formats import content_type
from publisher_webhook.options import WebhookOptions
from publisher_webhook.sink import WebhookSink
from tests.plugins.webhook.conftest import OTHER_SECRET, SECRET


def configured(**options: Any) -> WebhookOptions:
    """Returns options, as from the configuration file."""
    return WebhookOptions.model_validate({"url": "https://example.net/", **options})


@pytest.mark.parametrize(
    "url",
    [
        "https://example.net/hook?a=b",
        "https://example.net:8443",
        "http://localhost:8123/api/webhook/x",
        "http://homeassistant.local/hook",
        "http://10.1.2.3/",
        "http://192.168.1.1:80/",
        "http://[::1]:9/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://100.101.102.103:8123/api/webhook/x",
    ],
)
def test_these_urls_are_taken(url: str) -> None:
    assert WebhookOptions(url=url).url == url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://example.net/", "expected a URL like https://"),
        ("hook.example", "expected a URL like https://"),
        ("https:///hook", "expected a URL like https://"),
        ("https://example.net:99999/", "a port from 0"),
        ("https://user:hunter22@example.net/", "without user and password"),
        ("https://user@example.net/", "without user and password"),
        ("https://example.net/#part", "without a fragment"),
        ("https://example.net/ü", "percent-encode the rest"),
        ("https://example.net/a b", "percent-encode the rest"),
        ("https://[::1/", "expected a URL"),
        ("http://8.8.8.8/hook", "allow_plain_http = true"),
        ("http://[2001:4860:4860::8888]/hook", "allow_plain_http = true"),
        ("http://[::ffff:8.8.8.8]/hook", "allow_plain_http = true"),
    ],
)
def test_these_urls_are_refused_with_what_was_expected(url: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected) as caught:
        WebhookOptions(url=url)
    assert url not in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_plain_http_is_taken_when_it_is_meant() -> None:
    assert WebhookOptions(url="http://8.8.8.8/hook", allow_plain_http=True)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"bach": True}, "Extra inputs"),
        ({"secret": "hunter22hunter22"}, "24 to 64 bytes"),
        ({"secret": SECRET, "previous_secret": "hunter22!"}, "not base64"),
        ({"headers": {"user-agent": "hunter22"}}, "does not set itself"),
        ({"batch": True, "format": "binary"}, 'expected format = "structured"'),
        ({"secret": SECRET, "secret_file": "x"}, "expected secret or secret_file, not both"),
        ({"previous_secret": SECRET}, "beside the previous"),
        ({"token_file": "x", "headers": {"authorization": "Basic hunter22"}}, "not both"),
        ({"key_file": "x"}, "expected cert_file"),
        ({"headers": {"Host": "hunter22"}}, "does not set itself, not 'Host'"),
        ({"headers": {"webhook-id": "hunter22"}}, "does not set itself"),
        ({"headers": {"ce-id": "hunter22"}}, "does not set itself"),
        ({"headers": {"X Y": "hunter22"}}, "does not set itself"),
        ({"headers": {"X": "hunter22\r\nY: z"}}, "printable ASCII as the value of 'X'"),
        ({"timeout": 0}, "greater than 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected) as caught:
        configured(**options)
    assert "hunter22" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_lines_for_people_leave_snapshots_out_unless_they_are_asked_for() -> None:
    assert configured().snapshot is True
    assert configured(format="text").snapshot is False
    assert configured(format="text", snapshot=True).snapshot is True


def test_the_destination_differs_between_urls_and_shows_no_path() -> None:
    one = WebhookOptions(url="https://example.net/services/T0P53CR3T")
    other = WebhookOptions(url="https://example.net/services/0TH3R")
    assert one.destination == WebhookOptions(url=one.url, batch=True).destination
    assert one.destination != other.destination
    assert one.destination.startswith("https://example.net#")
    assert "T0P53CR3T" not in one.destination


def test_no_secret_is_in_a_repr(secret_file: Path) -> None:
    options = configured(
        url="https://example.net/services/T0P53CR3T",
        secret_file=secret_file,
        previous_secret=OTHER_SECRET,
        headers={"X-Api-Key": "hunter22"},
    )
    credentials = load_authentication(options)
    for text in (repr(options), str(options), repr(credentials), str(credentials)):
        assert not [secret for secret in ("T0P53CR3T", SECRET, OTHER_SECRET, "hunter22") if secret in text]


def test_the_current_secret_signs_first(secret_file: Path, tmp_path: Path) -> None:
    previous = tmp_path / "previous"
    previous.write_text(OTHER_SECRET, encoding="utf-8")
    from_files = configured(secret_file=secret_file, previous_secret_file=previous)
    given = configured(secret=SECRET, previous_secret=OTHER_SECRET)
    assert load_authentication(from_files).keys == load_authentication(given).keys
    assert len(set(load_authentication(given).keys)) == 2


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    for content, expected in [(None, "cannot be read"), (b"\xff", "not UTF-8"), (b"two words", "one token")]:
        path = tmp_path / f"token-{expected}"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=expected) as caught:
            load_authentication(WebhookOptions(url="https://example.net/", token_file=path))
        assert str(path) in str(caught.value)


def test_secrets_are_masked_in_responses(secret_file: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t0k3n-value\n", encoding="utf-8")
    options = configured(
        url="https://example.net/services/T00000000/B1111/X-very-long-token-X?key=hunter22",
        secret_file=secret_file,
        token_file=token,
        headers={"X-Api-Key": "api-key-value"},
    )
    answer = f"Cannot POST {options.url} with {SECRET}, Bearer t0k3n-value, api-key-value; X-very-long-token-X unknown"
    hidden = load_authentication(options).mask(answer)
    for secret in ("X-very-long-token-X", "hunter22", SECRET, "t0k3n-value", "api-key-value"):
        assert secret not in hidden
    assert hidden.startswith("Cannot POST https://example.net***")


def test_a_configuration_is_checked_without_the_http_library() -> None:
    check = """
import sys
from publisher_webhook import publisher_sinks
assert not [name for name in sys.modules if name.startswith("publisher_webhook.")]
publisher_sinks()["webhook"].Options(url="https://example.net/hook")
assert "urllib3" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", check], check=True, timeout=60)


def test_a_secret_that_changed_is_a_configuration_that_changed() -> None:
    """A reload restarts such a sink, also one that had ended."""
    options = [configured(secret=SECRET), configured(secret=OTHER_SECRET), configured(headers={"X": "1"})]
    assert len({_fingerprint(WebhookSink, each) for each in [*options, configured(secret=SECRET)]}) == 3
    assert SECRET not in _fingerprint(WebhookSink, options[0])


def test_receivers_that_read_application_json_only_are_named_where_one_looks() -> None:
    """They answer 204 to the default form, and see an empty body (n8n-io/n8n#20748; seen with Express 4.22 and 5.3)."""
    document = (Path(__file__).parents[3] / "docs/webhook.md").read_text(encoding="utf-8")
    described = WebhookOptions.model_fields["format"].description
    for text in (document, described, TEMPLATE, content_type("structured", batch=False)):
        assert text is not None
        for word in ("Express", "n8n", "Node-RED", "application/json", "binary"):
            assert word in text
