"""`publisher plugins new`: the files, and names and folders that are refused; tests/once installs such a project."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.fixtures.command import Publisher, posix_only


def test_a_project_is_written_with_its_own_names(publisher: Publisher) -> None:
    printed = publisher("plugins", "new", "my-chat").stdout
    assert printed.startswith("publisher-my-chat written; next: ")
    assert "-m pip install --editable publisher-my-chat\n" in printed
    folder = publisher.folder / "publisher-my-chat"
    names = ["README.md", "publisher_my_chat.py", "pyproject.toml", "test_publisher_my_chat.py"]
    assert sorted(path.name for path in folder.iterdir()) == names
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "publisher-my-chat"
    assert project["entry-points"]["publisher"] == {"my-chat": "publisher_my_chat"}
    code = (folder / "publisher_my_chat.py").read_text(encoding="utf-8")
    assert 'return {"my-chat": MyChatSink}' in code
    assert not [path.name for path in folder.iterdir() if "$" in path.read_text(encoding="utf-8")]


def test_the_folder_can_be_named(publisher: Publisher) -> None:
    folder = publisher.folder / "some where"
    printed = publisher("plugins", "new", "chat", folder).stdout
    assert f'-m pip install --editable "{folder}"' in printed
    assert (folder / "publisher_chat.py").exists()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("My_Chat", "my-chat"),
        ("publisher-chat", "chat"),
        ("chat-", "chat"),
        ("my--chat", "my-chat"),
        ("../chat", "chat"),
        ("7up", None),
        ("", None),
        ("é", None),
        ("x" * 25, None),
    ],
)
def test_a_name_that_cannot_be_used_is_refused_with_the_nearest_one(
    publisher: Publisher, name: str, nearest: str | None
) -> None:
    [line] = publisher("plugins", "new", name, status=2).stderr.splitlines()
    assert "small letters, digits and single hyphens, at most 24, a letter first" in line
    assert line.partition("; did you mean ")[2] == (f"{nearest!r}?" if nearest else "")
    assert not list(publisher.folder.glob("*chat*"))


def test_a_name_that_is_taken_is_refused(publisher: Publisher) -> None:
    assert "there is a sink 'mqtt' already; take another name than: command, file, mqtt" in (
        publisher("plugins", "new", "mqtt", status=2).stderr
    )


@pytest.mark.parametrize("kind", ["empty folder", "file", "link to nothing"])
@posix_only
def test_what_exists_is_not_changed(publisher: Publisher, kind: str) -> None:
    there = publisher.folder / "publisher-chat"
    match kind:
        case "empty folder":
            there.mkdir()
        case "file":
            there.write_text("mine")
        case _:
            there.symlink_to("nowhere")
    assert publisher("plugins", "new", "chat", status=1).stderr == (
        "publisher: publisher-chat exists already and was not changed: name another folder\n"
    )
    assert kind != "empty folder" or not list(there.iterdir())
    assert kind != "file" or there.read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_line(publisher: Publisher) -> None:
    path = Path("no", "such", "place")
    assert publisher("plugins", "new", "chat", path, status=1).stderr == (
        f"publisher: {path} cannot be written: No such file or directory; make its folder first\n"
    )


def test_plugins_alone_lists_what_is_installed_as_before(publisher: Publisher) -> None:
    lines = publisher("plugins").stdout.splitlines()
    assert [line for line in lines if line.startswith("sink ")]
    assert "No such command 'nwe'" in publisher("plugins", "nwe", status=2).stderr
    assert json.loads(publisher("schema", "config").stdout), "the other commands are as they were"
