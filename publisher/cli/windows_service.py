"""`publisher service`: installs, removes and controls the publisher as a service of Windows."""

from __future__ import annotations

from pathlib import Path

from ..config.locations import APPLICATION, Locations
from ..config.settings import load_settings
from ..errors import PublisherError
from ..terminal import echo
from ..windows_service.advapi32 import SERVICE_RUNNING
from ..windows_service.calls import load_calls
from ..windows_service.folders import make_state_folder
from ..windows_service.installation import (
    Program,
    configuration_of,
    log_of,
    state_folder,
    valid_name,
    weaknesses,
)
from ..windows_service.manager import ACCOUNT, WindowsService


def install_service(name: str, config: Path | None, *, force: bool) -> None:
    """Installs the service and makes its folder; raises PublisherError, also when others can change its program."""
    calls, locations, program = load_calls(), Locations.of_service(), Program.of_this_process()
    path = configuration_of(config, locations)
    folder = state_folder(locations)
    command = program.command_line(valid_name(name), path, folder)
    if path.exists():
        load_settings(path, locations)  # a mistake is reported now, instead of in the log
    made = make_state_folder(folder, calls)
    found = weaknesses(program, path, locations, calls)
    if found and not force:
        raise PublisherError("\n".join([*found, "nothing was installed; --force installs nevertheless"]))
    for weakness in found:
        echo(f"publisher: warning: {weakness}", err=True)
    lacking = WindowsService(name, calls).install(command)
    echo(f"service {name!r} installed: it runs as {ACCOUNT}, starts with Windows, and again a minute after a failure")
    if lacking:
        echo(f"publisher: warning: this Windows lacks settings, which were left out: {', '.join(lacking)}", err=True)
    echo(f"folder {folder} {'made, for administrators and the service only' if made else 'used as it is'}")
    echo(f"log {log_of(locations)}")
    if path.exists():
        echo(f"configuration {path}: fine; next: publisher service start{_named(name)}")
    else:
        echo(
            f'configuration {path}: missing; next: publisher init "{path}", then publisher service start{_named(name)}'
        )


def remove_service(name: str) -> None:
    """Stops and removes the service; its folder stays."""
    WindowsService(name, load_calls()).remove()
    echo(f"service {name!r} removed; {state_folder(Locations.of_service())} stays, with its journal and its log")


def start_service(name: str) -> None:
    """Starts the service, and returns once it runs."""
    service = WindowsService(name, load_calls())
    try:
        state = service.start()
    except PublisherError as error:
        raise PublisherError(f"{error}; its log: {log_of(Locations.of_service())}") from None
    echo(f"service {name!r}: {state.text}")


def stop_service(name: str) -> None:
    """Stops the service, and returns once it has stopped."""
    WindowsService(name, load_calls()).stop()
    echo(f"service {name!r}: stopped")


def reload_service(name: str) -> None:
    """Makes the service read its configuration again."""
    WindowsService(name, load_calls()).reload()
    echo(f"service {name!r} reads its configuration again; its log: {log_of(Locations.of_service())}")


def show_service(name: str) -> bool:
    """Prints the state of the service and its command line; returns whether it runs."""
    service = WindowsService(name, load_calls())
    state = service.state()
    echo(f"service {name!r}: {state.text}")
    echo(f"command {service.command_line()}\nlog {log_of(Locations.of_service())}")
    return state.state == SERVICE_RUNNING


def _named(name: str) -> str:
    return "" if name == APPLICATION else f' --name "{name}"'
