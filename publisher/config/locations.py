"""Locations of files: of the configuration and of the journal, from the environment and the host's name."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

APPLICATION = "interface-publisher"
CONFIG_NAME = "publisher.toml"
JOURNAL_NAME = "journal.sqlite3"


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

    @classmethod
    def of_service(cls, state_dir: Path | None = None) -> Locations:
        """Reads those of the service of Windows, whose account has no folder of its own.

        Its journal is in `state_dir`, by default in that of %PROGRAMDATA%. The installation hands it to the service, in
        whose environment the variable may differ (under Wine 8 it does).
        """
        own = cls.of_this_process()
        return replace(own, state_dirs=(state_dir or _shared_state_dir(own.environment),))

    @property
    def configs(self) -> tuple[Path, ...]:
        """The configuration files that are looked for, in this order."""
        return tuple(dict.fromkeys(folder / CONFIG_NAME for folder in self.config_dirs))

    def find_config(self) -> Path | None:
        """Returns the first configuration file that exists; `None` without one."""
        return next(filter(_is_there, self.configs), None)

    @property
    def journals(self) -> tuple[Path, ...]:
        """The journals that a running service may hold, this process's own first.

        A service under systemd keeps its journal in a directory that no other process has for its own.
        """
        return tuple(dict.fromkeys(folder / JOURNAL_NAME for folder in self.state_dirs))

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
    import platformdirs

    # CONFIGURATION_DIRECTORY: systemd.exec(5).
    own, service = _found(platformdirs.user_config_path), _listed(environment, "CONFIGURATION_DIRECTORY")
    system = [] if sys.platform == "win32" else [Path("/etc") / APPLICATION]
    return (*_working_directory(), *own, *service, *system, *_found(platformdirs.site_config_path))


def _state_dirs(environment: Mapping[str, str]) -> tuple[Path, ...]:
    if sys.platform == "win32":
        return _windows_state_dirs(environment)
    import platformdirs

    # STATE_DIRECTORY: systemd.exec(5); the unit names one.
    service = _listed(environment, "STATE_DIRECTORY")
    return (*service, *_found(platformdirs.user_state_path), Path("/var/lib") / APPLICATION)


def _working_directory() -> list[Path]:
    try:
        return [Path.cwd()]
    except OSError:  # it was removed
        return []


def _found(directory: Callable[..., Path]) -> list[Path]:
    """Returns the directory that platformdirs names; none for a user without a home, as a service often is."""
    try:
        path = directory(APPLICATION, appauthor=False)
    except RuntimeError:  # neither HOME nor the password file names an absolute path
        return []
    return [path] if path.is_absolute() else []


def _listed(environment: Mapping[str, str], variable: str) -> list[Path]:
    """Returns the absolute paths of a variable that has colons between them."""
    paths = map(Path, environment.get(variable, "").split(":"))
    return [path for path in paths if path.is_absolute()]


def _windows_state_dirs(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Returns the folders of %LOCALAPPDATA% and %PROGRAMDATA%.

    A service account has its LOCALAPPDATA in the Windows folder, which is no place for a journal.
    """
    shared = _shared_state_dir(environment)
    local = environment.get("LOCALAPPDATA", "")
    windows = environment.get("SYSTEMROOT", r"C:\Windows")
    if not local or local.casefold().startswith(windows.casefold()):
        return (shared,)
    return (Path(local) / APPLICATION, shared)


def _shared_state_dir(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("PROGRAMDATA") or r"C:\ProgramData") / APPLICATION
