"""The options of a notify sink: valid and invalid ones, and no secret in any message about them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from publisher_notify.options import NotifyOptions

URL = "json://127.0.0.1/hunter22"


def configured(**options: Any) -> NotifyOptions:
    """Returns options, as from the configuration file."""
    return NotifyOptions.model_validate({"urls": [URL], **options})


@pytest.mark.parametrize(
    ("urls", "names"),
    [
        ([URL], ["urls[0] (JSON)"]),
        (URL, ["urls[0] (JSON)"]),
        (f" {URL}  ntfy://topic\n", ["urls[0] (JSON)", "urls[1] (ntfy)"]),
        (["ntfys://user:pass@ntfy.example/a/b?priority=high", "tgram://123456789:abcdefg_hijklmnop/12315544/"],
         ["urls[0] (ntfy)", "urls[1] (Telegram)"]),
        (["mailto://user:pass@example.org?to=me@example.net"], ["urls[0] (E-Mail)"]),
    ],
)  # fmt: skip
def test_these_urls_are_taken(urls: Any, names: list[str]) -> None:
    options = configured(urls=urls)
    assert [service.name for service in options.services(options.urls, "urls")] == names


@pytest.mark.parametrize(
    ("urls", "expected"),
    [
        ([], "expected urls, like"),
        ("", "expected urls, like"),
        ([""], "urls[0]: expected a URL with a scheme"),
        ([URL, "hunter22"], "urls[1]: expected a URL with a scheme, like ntfys://"),
        ([URL + "\n"], "urls[0]: expected a URL with a scheme"),
        (["ntfi://hunter22/a"], "no service of Apprise has the scheme ntfi://; did you mean ntfy://?"),
        (["hunter22hunter22hunter22://x"], "no service of Apprise has the scheme of this URL"),
        (["https://hunter22.example/hook"], "no service of Apprise has this address: for a server of your own use jsons://"),
        (["slack://hunter22"], "Apprise cannot use this URL of slack://: "),
        (["tgram://hunter22"], "Apprise cannot use this URL of tgram://: it is not complete"),
        (["ntfy://host/topic?mode=hunter22"], "Apprise cannot use this URL of ntfy://: An invalid ntfy Mode (***)"),
        (["json://hunter22@:8080/"], "Apprise cannot use this URL of json://: "),
        (["dbus://hunter22"], "dbus:// needs further packages"),
        ([7], "valid string"),
        ({"a": 1}, "valid tuple"),
    ],
)  # fmt: skip
def test_these_urls_are_refused_with_what_was_expected(urls: Any, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        configured(urls=urls)
    assert expected in str(caught.value)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"urls_file": "x"}, "or urls_file, and not both"),
        ({"url": "x"}, "Extra inputs"),
        ({"text": ""}, "expected some text"),
        ({"text": " \n "}, "expected some text"),
        ({"text": "{alais}"}, "unknown name {alais}"),
        ({"text": "x" * 10_001}, "at most 10000 characters"),
        ({"text": "\x1b[2J"}, "expected no control characters"),
        ({"title": "{text"}, "has no partner"),
        ({"title": "a\nb"}, "expected one line"),
        ({"title": "x" * 251}, "at most 250 characters"),
        ({"retry_refusals": "soon"}, "retry_refusals"),
        ({"timeout": 0}, "greater than 0"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        configured(**options)
    assert expected in str(caught.value)


def test_a_snapshot_makes_no_messages_unless_it_is_asked_for() -> None:
    assert configured().snapshot is False


def test_the_urls_are_in_no_repr_and_not_in_the_destination() -> None:
    options = configured()
    assert "hunter22" not in repr(options) + str(options) + options.destination
    assert options.urls == (SecretStr(URL),)


def test_another_url_is_no_new_subscriber() -> None:
    """Else the messages that wait for a wrong URL would never reach the right one."""
    assert configured().destination == configured(urls=["ntfy://topic"]).destination


def test_the_schema_is_made_without_apprise() -> None:
    program = (
        "import sys; from publisher_notify.options import NotifyOptions; NotifyOptions.model_json_schema()\n"
        "assert not {'apprise', 'requests', 'urllib3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path: Path) -> None:
    """A module of Apprise's name that cannot be imported is in the place of the real one."""
    (tmp_path / "apprise.py").write_text("raise ImportError('no apprise here')")
    (tmp_path / "publisher.toml").write_text(f'[sinks.phone]\ntype = "notify"\nurls = {json.dumps([URL])}\n')
    environment = {"PYTHONPATH": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-m", "publisher", "check", "--offline", "--config", str(tmp_path / "publisher.toml")]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "sink 'phone': a notify sink needs Apprise: pip install 'interface-publisher[notify]'" in done.stderr
    assert "hunter22" not in done.stdout + done.stderr
