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
    except PermissionError:  # the directory is a service's, and another user runs this process
        return False


def _config_dirs(environment: Mapping[str, str]) -> tuple[Path, ...]:
    import platformdirs

    own = [Path.cwd(), platformdirs.user_config_path(APPLICATION, appauthor=False)]
    # CONFIGURATION_DIRECTORY: systemd.exec(5); a colon-separated list.
    service = [Path(folder) for folder in environment.get("CONFIGURATION_DIRECTORY", "").split(":") if folder]
    system = [platformdirs.site_config_path(APPLICATION, appauthor=False)]
    if sys.platform != "win32":
        system.insert(0, Path("/etc") / APPLICATION)
    return (*own, *service, *system)


def _state_dirs(environment: Mapping[str, str]) -> tuple[Path, ...]:
    if sys.platform == "win32":
        return _windows_state_dirs(environment)
    import platformdirs

    # STATE_DIRECTORY: systemd.exec(5); a colon-separated list, of which the unit names one.
    service = [Path(folder) for folder in environment.get("STATE_DIRECTORY", "").split(":") if folder]
    return (*service, platformdirs.user_state_path(APPLICATION, appauthor=False), Path("/var/lib") / APPLICATION)


def _windows_state_dirs(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Returns the folders of %LOCALAPPDATA% and %PROGRAMDATA%.

    A service account has its LOCALAPPDATA in the Windows folder, which is no place for a journal.
    """
    shared = Path(environment.get("PROGRAMDATA", r"C:\ProgramData")) / APPLICATION
    local = environment.get("LOCALAPPDATA", "")
    windows = environment.get("SYSTEMROOT", r"C:\Windows")
    if not local or local.casefold().startswith(windows.casefold()):
        return (shared,)
    return (Path(local) / APPLICATION, shared)
