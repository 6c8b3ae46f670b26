"""The command line of the service, the layouts of advapi32's structures, and commands on another system."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest

from publisher.errors import ConfigurationError
from publisher.windows_service import advapi32
from publisher.windows_service.calls import failed
from publisher.windows_service.installation import Program, valid_name
from tests.fixtures.command import Publisher, posix_only


def program(interpreter: str = r"C:\Program Files\Python313\pythonw.exe", packages: str = r"C:\My Apps\p") -> Program:
    return Program(windows(interpreter), windows(packages))


def windows(path: str) -> Any:
    """A path of Windows, also on Linux."""
    return PureWindowsPath(path)


def split(command_line: str) -> list[str]:
    """Returns the arguments as Microsoft's C runtime reads them, without the rules for quotes inside."""
    words, quoted = [""], False
    for letter in command_line:
        if letter == '"':
            quoted = not quoted
        elif letter == " " and not quoted:
            words.append("")
        else:
            words[-1] += letter
    return words


@pytest.mark.parametrize("folder", [r"C:\Program Files\my config", r"C:\conf", "C:\\ümläut & (x86)\\a'b^c", r"D:\a\\"])
def test_each_path_is_one_argument_and_the_program_is_in_quotes(folder: str) -> None:
    found = program()
    line = found.command_line("interface publisher", windows(folder) / "publisher.toml", windows(folder))
    assert line.startswith('"C:\\Program Files\\Python313\\pythonw.exe" -I -S '), "unquoted, C:\\Program.exe would run"
    assert split(line)[-4:] == [
        str(found.packages),
        "interface publisher",
        str(windows(folder) / "publisher.toml"),
        str(windows(folder)),
    ]
    assert program(r"C:\Python\pythonw.exe").command_line("x", windows("a"), windows("b")).startswith('"C:\\Python')


@pytest.mark.parametrize("path", [r"C:\100%\TEMP%", 'C:\\a" b'])
def test_a_path_that_windows_would_change_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="use another path"):
        program().command_line("x", windows(path), windows("C:\\s"))
    with pytest.raises(ConfigurationError, match="use another path"):
        program(path).command_line("x", windows("C:\\c"), windows("C:\\s"))


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", " x", "x" * 81, "a\n", 'a"'])
def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="no name for a service"):
        valid_name(name)
    assert valid_name("interface-publisher 2") == "interface-publisher 2"


def test_the_script_that_is_started_is_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["", str(Path.cwd()), *sys.path])
    found = Program.of_this_process()
    assert found.script.is_file()
    assert found.interpreter.is_file()
    assert {found.interpreter, found.packages, found.script} <= set(found.parts())
    assert not {Path(), Path.cwd()} & set(found.parts()), "python -m puts it on the path; the service does not have it"


# sizeof and offsetof as mingw-w64's winsvc.h has them on x86-64.
@pytest.mark.parametrize(
    ("structure", "size", "last", "offset"),
    [
        (advapi32.ServiceStatusStructure, 28, "dwWaitHint", 24),
        (advapi32.ServiceStatusProcess, 36, "dwServiceFlags", 32),
        (advapi32.ServiceTableEntry, 16, "lpServiceProc", 8),
        (advapi32.ServiceDescription, 8, "lpDescription", 0),
        (advapi32.Flag, 4, "fFlag", 0),
        (advapi32.ScAction, 8, "Delay", 4),
        (advapi32.ServiceFailureActions, 40, "lpsaActions", 32),
        (advapi32.QueryServiceConfig, 64, "lpDisplayName", 56),
        (advapi32.SecurityAttributes, 24, "bInheritHandle", 16),
    ],
)
def test_the_layouts_are_those_of_windows(structure: Any, size: int, last: str, offset: int) -> None:
    assert ctypes.sizeof(structure) == size
    assert getattr(structure, last).offset == offset
    assert structure._fields_[-1][0] == last


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (5, "run the terminal as administrator"),
        (1056, "it runs already"),
        (1060, "it is not installed: publisher service install"),
        (1072, "marked for deletion: close services.msc"),
        (1073, "installed already: publisher service remove"),
        (1062, "it does not run"),
    ],
)
def test_an_error_of_windows_is_in_words_with_its_code_and_the_remedy(code: int, words: str) -> None:
    error = failed("OpenServiceW", code)
    assert words in str(error)
    assert str(error).endswith(f"(Windows error {code}, OpenServiceW)")
    assert error.code == code


@posix_only
@pytest.mark.parametrize("action", ["install", "remove", "start", "stop", "reload", "status"])
def test_on_linux_the_unit_of_systemd_is_named(publisher: Publisher, action: str) -> None:
    done = publisher("service", action, status=1)
    assert "compose/interface-publisher.service" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(publisher.folder.iterdir()) or [path.name for path in publisher.folder.iterdir()] == [
        "updates.jsonl"
    ]
