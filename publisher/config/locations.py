"""What the process was started in: read once at the edge, handed in everywhere else."""

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
    """The host and the process's environment, as far as they decide where things are."""

    hostname: str
    config_dirs: tuple[Path, ...]
    """Where the configuration file is looked for, in this order."""
    state_dirs: tuple[Path, ...]
    """Where journals may be: this process's own first, then where a service of this system has its own."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_this_process(cls) -> Locations:
        """Read the environment, the host's name and the system's directories."""
        environment = dict(os.environ)
        return cls(
            hostname=socket.gethostname(),
            config_dirs=_config_dirs(environment),
            state_dirs=_state_dirs(environment),
            environment=environment,
        )

    def find_config(self) -> Path | None:
        """The first configuration file there is."""
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
    except PermissionError:  # a service's own directory, and somebody else asks
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
    """%LOCALAPPDATA%, then %PROGRAMDATA%; a service account's LOCALAPPDATA lies in the Windows folder: not there."""
    shared = Path(environment.get("PROGRAMDATA", r"C:\ProgramData")) / APPLICATION
    local = environment.get("LOCALAPPDATA", "")
    windows = environment.get("SYSTEMROOT", r"C:\Windows")
    if not local or local.casefold().startswith(windows.casefold()):
        return (shared,)
    return (Path(local) / APPLICATION, shared)
