"""Starts the publisher as an add-on of Home Assistant: its options and the Supervisor's broker become variables.

The variables win over the file publisher.toml in the add-on's folder of configuration, which may have anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NO_BROKER = (
    "Home Assistant has no MQTT broker: install the add-on 'Mosquitto broker' and set up the integration MQTT, or "
    "switch the option mqtt off and name a broker in publisher.toml"
)


class NotReady(Exception):  # noqa: N818  # reads as a sentence where it is raised
    """The reason why the publisher cannot be started."""


def main() -> None:
    """Reads the options, asks the Supervisor for the broker, and becomes `publisher run`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/data"), help="the add-on's own folder")
    parser.add_argument("--config", type=Path, default=Path("/config"), help="the add-on's folder of configuration")
    parser.add_argument("--supervisor", default="http://supervisor", help="the URL of the Supervisor")
    parser.add_argument("--user", type=int, default=10001, help="the number of the user that the publisher is run as")
    given = parser.parse_args()
    try:
        options = json.loads((given.data / "options.json").read_text(encoding="utf-8"))
        broker = mqtt_service(given.supervisor, os.environ.get("SUPERVISOR_TOKEN", "")) if options["mqtt"] else None
    except (OSError, ValueError, NotReady) as error:
        sys.exit(f"interface-publisher: {error}")
    environment = os.environ | variables(options, broker)
    # The publisher needs nothing of the Supervisor, and neither do the programs that it may run.
    for token in ("SUPERVISOR_TOKEN", "HASSIO_TOKEN"):
        environment.pop(token, None)
    file = configuration(given.config, given.data)
    give_up_root(given.user, given.data)
    os.execvpe("publisher", ["publisher", "run", "--config", str(file)], environment)


def mqtt_service(supervisor: str, token: str) -> Mapping[str, Any]:
    """Returns the broker and its login, as the Supervisor's service `mqtt`; raises NotReady."""
    request = urllib.request.Request(f"{supervisor}/services/mqtt", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: Mapping[str, Any] = json.load(answer)["data"]
            return found
    except urllib.error.HTTPError as error:
        # 400 is `Service not enabled`: no add-on provides a broker.
        raise NotReady(NO_BROKER if error.code == 400 else f"the Supervisor answered {error.code}: {error}") from None
    except (OSError, ValueError, KeyError) as error:
        raise NotReady(f"the Supervisor does not answer at {supervisor}: {error}") from None


def variables(options: Mapping[str, Any], broker: Mapping[str, Any] | None) -> dict[str, str]:
    """Returns the configuration that the options and the broker make."""
    made = {"PUBLISHER_NODE": str(options["node"]), "PUBLISHER_LOG__LEVEL": str(options["log_level"])}
    if broker is None:
        return made
    scheme = "mqtts" if broker.get("ssl") else "mqtt"
    host = f"[{broker['host']}]" if ":" in broker["host"] else broker["host"]
    sink = {
        "TYPE": "mqtt",
        "URL": f"{scheme}://{host}:{broker['port']}",
        "USERNAME": broker.get("username"),
        "PASSWORD": broker.get("password"),
        "HOME_ASSISTANT__ENABLED": str(options["discovery"]).lower(),
    }
    return made | {f"PUBLISHER_SINKS__HOMEASSISTANT__{name}": str(value) for name, value in sink.items() if value}


def give_up_root(user: int, data: Path) -> None:
    """Becomes this user, who is nobody else in the container, after what the publisher writes was given to it."""
    if os.geteuid() == 0:
        for path in (data, *data.glob("journal.sqlite3*")):
            os.chown(path, user, user)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)


def configuration(config: Path, data: Path) -> Path:
    """Returns the user's file; without one an empty file, which is written: with none `run` would look elsewhere."""
    file = config / "publisher.toml"
    if not file.exists():
        file = data / "publisher.toml"
        file.touch()
    return file


if __name__ == "__main__":
    main()
