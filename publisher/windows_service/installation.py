"""The program that the service runs, and the folders that it needs."""

from __future__ import annotations

import re
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..config.locations import CONFIG_NAME, Locations
from ..errors import ConfigurationError
from ..service.log_file import log_file_beside
from .calls import WindowsCalls
from .folders import weakness_of_state, weaknesses_of_program

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


@dataclass(frozen=True)
class Program:
    """The files that the service runs."""

    interpreter: Path
    packages: Path
    """The site-packages folder; what is installed there is what the service uses."""

    @classmethod
    def of_this_process(cls) -> Program:
        """Returns the program of the command that runs now: its interpreter without a console, and its packages.

        Of a virtual environment, the interpreter that it was made with: `publisher.windows_service.__main__` says why.
        """
        own = Path(getattr(sys, "_base_executable", "") or sys.executable)
        windowless = own.with_name("pythonw.exe")
        return cls(windowless if windowless.exists() else own, Path(sysconfig.get_path("purelib")))

    @property
    def script(self) -> Path:
        """The script that is started, in the package."""
        return Path(__file__).with_name("__main__.py").absolute()

    def parts(self) -> Iterator[Path]:
        """Yields what must not be changed by others."""
        yield self.interpreter.parent
        yield self.interpreter
        # The service has neither the directory of this command nor the packages of this user: -I leaves them out.
        others = {Path.cwd(), Path(site.getusersitepackages())}
        yield from (path for path in map(Path, sys.path) if path.is_absolute() and path.exists() and path not in others)
        yield self.packages
        yield from (self.script.parents[1], self.script.parent, self.script)

    def command_line(self, name: str, config: Path, state_dir: Path) -> str:
        """Returns the command line of the service; raises ConfigurationError for a path that Windows would change."""
        arguments = ["-I", "-S", str(self.script), str(self.packages), name, str(config), str(state_dir)]
        for path in (str(self.interpreter), *arguments):
            # The command line is stored as REG_EXPAND_SZ, in which %NAME% is replaced; a quote ends the program's name.
            if set(path).intersection('%"'):
                raise ConfigurationError(f'{path}: a service cannot have % or " in its command line: use another path')
        # Always in quotes: of an unquoted path with a space, Windows tries each part that ends at a space.
        return f'"{self.interpreter}" {subprocess.list2cmdline(arguments)}'


def valid_name(name: str) -> str:
    """Returns the name if a service can have it; raises ConfigurationError."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name for a service: use letters, digits, spaces, '.', '_' and '-'")
    return name


def configuration_of(config: Path | None, locations: Locations) -> Path:
    """Returns the configuration that the service reads: the named one, or that in the state folder."""
    return config.absolute() if config else state_folder(locations) / CONFIG_NAME


def state_folder(locations: Locations) -> Path:
    """Returns the folder of the service's journal and log."""
    return locations.journal.parent


def log_of(locations: Locations) -> Path:
    """Returns the log of the service, unless its configuration puts the journal elsewhere."""
    return log_file_beside(locations.journal)


def weaknesses(program: Program, config: Path, locations: Locations, calls: WindowsCalls) -> list[str]:
    """Returns a line for each way in which others can make the service do what they want, or stop it from working."""
    folder = state_folder(locations)
    found = [weakness] if (weakness := weakness_of_state(folder, calls)) else []
    if "WindowsApps" in program.interpreter.parts:
        found.append(
            "Python from the Microsoft Store cannot run as a service: install that of python.org for all users"
        )
    parts = [*program.parts()]
    if config.exists() and folder not in config.parents:
        parts.append(config)
    return [*found, *weaknesses_of_program(parts, calls)]
