"""Locations of files: of the configuration and of the journal, from the environment and the host's name."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

APPLICATION = "interface-publisher"
CONFIG_NAME = "publisher.toml"
JOURNAL_NAME = "journal.sqlite3"
# Below the user's directory, unless a variable says otherwise: XDG Base Directory Specification; for macOS Apple's.
_MAC = "Library/Application Support"
_USER_CONFIG = _MAC if sys.platform == "darwin" else ".config"
_USER_STATE = _MAC if sys.platform == "darwin" else ".local/state"


@dataclass(frozen=True)
class Locations:
    """The directories, the host's name and the environment of a process, read once at the start."""

    hostname: str
    config_dirs: tuple[Path, ...]
    """The directories that are searched for the configuration file, in this order."""
    state_dirs: tuple[Path, ...]
    """The directories of journals: this process's own first, then those of a service of the system."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_this_process(cls) -> Locations:
        """Reads the environment, the host's name and the system's directories."""
        environment = dict(os.environ)
        return cls(
            hostname=socket.gethostname(),
            config_dirs=_config_dirs(environment),
            state_dirs=_state_dirs(environment),
            environment=environment,
        )

    def find_config(self) -> Path | None:
        """Returns the first configuration file that exists; `None` without one."""
        return next((path for folder in self.config_dirs if _is_there(path := folder / CONFIG_NAME)), None)

    @property
    def journals(self) -> tuple[Path, ...]:
        """The journals that a running service may hold, this process's own first.

        A service under systemd keeps its journal in a directory that no other process has for its own.
        """
        return tuple(folder / JOURNAL_NAME for folder in self.state_dirs)

    @property
    def journal(self) -> Path:
        """The journal that this process uses unless another is configured."""
        return self.journals[0]


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # its directory is another user's, or its name is too long: there is nothing for this process
        return False


def _config_dirs(environment: Mapping[str, str]) -> tuple[Path, ...]:
    if sys.platform == "win32":
        own, system = _windows_dirs(environment)
        folders = [*own, system]
    else:
        # CONFIGURATION_DIRECTORY: systemd.exec(5).
        own = _user_dirs(environment, "XDG_CONFIG_HOME", _USER_CONFIG)
        service = _listed(environment, "CONFIGURATION_DIRECTORY")
        folders = [*own, *service, Path("/etc") / APPLICATION, *_system_dirs(environment)]
    return (*_working_directory(), *folders)


def _state_dirs(environment: Mapping[str, str]) -> tuple[Path, ...]:
    if sys.platform == "win32":
        own, system = _windows_dirs(environment)
        # A service account has its LOCALAPPDATA in the Windows folder, which is no place for a journal.
        windows = environment.get("SYSTEMROOT", r"C:\Windows").casefold()
        return (*(folder for folder in own if not str(folder).casefold().startswith(windows)), system)
    # STATE_DIRECTORY: systemd.exec(5); the unit names one.
    service = _listed(environment, "STATE_DIRECTORY")
    own = _user_dirs(environment, "XDG_STATE_HOME", _USER_STATE)
    return (*service, *own, Path("/var/lib") / APPLICATION)


def _working_directory() -> list[Path]:
    try:
        return [Path.cwd()]
    except OSError:  # it was removed
        return []


def _user_dirs(environment: Mapping[str, str], variable: str, default: str) -> list[Path]:
    """Returns the user's own directory; none for a user without one, as a service often is.

    A variable that names no absolute path is ignored, as the XDG Base Directory Specification wants it.
    """
    if named := _listed(environment, variable)[:1]:
        return [named[0] / APPLICATION]
    home = _home(environment)
    return [] if home is None else [home / default / APPLICATION]


def _system_dirs(environment: Mapping[str, str]) -> list[Path]:
    if sys.platform == "darwin":
        return [Path("/", _MAC, APPLICATION)]
    named = _listed(environment, "XDG_CONFIG_DIRS") or [Path("/etc/xdg")]
    return [folder / APPLICATION for folder in named]


def _home(environment: Mapping[str, str]) -> Path | None:
    """Returns the user's directory; `None` where neither HOME nor the password file names one."""
    if sys.platform == "win32":
        return None
    import pwd

    home = Path(environment.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # as in a container, or under systemd's DynamicUser= without libnss-systemd
        return None
    return home if home.is_absolute() else None


def _listed(environment: Mapping[str, str], variable: str) -> list[Path]:
    """Returns the absolute paths of a variable that has colons between them."""
    paths = map(Path, environment.get(variable, "").split(":"))
    return [path for path in paths if path.is_absolute()]


def _windows_dirs(environment: Mapping[str, str]) -> tuple[list[Path], Path]:
    """Returns the folders in %LOCALAPPDATA%, if there is one, and in %PROGRAMDATA%."""
    local = environment.get("LOCALAPPDATA", "")
    shared = environment.get("PROGRAMDATA") or r"C:\ProgramData"
    return [Path(local) / APPLICATION] if local else [], Path(shared) / APPLICATION
