"""A real Home Assistant as a child process, with the MQTT integration, the blueprints and an automation of each."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.fixtures.poll import wait_for
from tests.fixtures.ports import free_port

ROOT = Path(__file__).parents[2]
BLUEPRINTS = ROOT / "compose" / "blueprints" / "automation" / "interface-publisher"
VERSIONS = ROOT / ".cache" / "homeassistant"
_CONFIGURATION = """
http:
  server_host: 127.0.0.1
  server_port: {port}
logger:
  default: warning
automation: !include automations.yaml
"""


class Home:
    """`with Home(version, folder, port) as home:`; `told` are the notifications of all its runs."""

    def __init__(
        self,
        version: str,
        folder: Path,
        port: int,
        inputs: Mapping[str, tuple[str, Mapping[str, Any]]],
        *,
        edit: Callable[[str], str] = str,
    ) -> None:
        self._python = str(VERSIONS / version / "bin" / "python")
        self._folder, self._port = folder, port
        self._process: subprocess.Popen[str] | None = None
        self._before: list[str] = []
        blueprints = folder / "blueprints" / "automation" / "interface-publisher"
        blueprints.mkdir(parents=True)
        for path in BLUEPRINTS.glob("*.yaml"):
            (blueprints / path.name).write_text(edit(path.read_text()))
        automations = [
            {"id": name, "alias": name, "use_blueprint": {"path": f"interface-publisher/{path}.yaml", "input": given}}
            for name, (path, given) in inputs.items()
        ]
        (folder / "configuration.yaml").write_text(_CONFIGURATION.format(port=free_port()))
        (folder / "automations.yaml").write_text(json.dumps(automations))

    def __enter__(self) -> Home:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Starts it, and waits until it is connected to the broker."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._python, str(Path(__file__).with_name("driver.py")), str(self._folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        assert self._line() == {"started": True}
        self.do("connect", port=self._port)

    def stop(self) -> None:
        """Ends it in order: it writes what it knows."""
        self._before = self.told
        process = self._running()
        self.do("stop")
        process.wait(60)
        self._close()

    def kill(self) -> None:
        """Ends it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._close()

    def do(self, command: str, /, **arguments: Any) -> Any:
        """Has the driver carry out a command; returns its answer."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        process.stdin.flush()
        answer = self._line()
        assert "error" not in answer, answer
        return answer["answer"]

    @property
    def told(self) -> list[str]:
        """The notifications that the automations made, in order."""
        return [*self._before, *self.do("told")]

    def state(self, entity_id: str) -> str | None:
        """Returns the state of an entity; `None` when there is none of that name."""
        found = self.do("states").get(entity_id)
        return None if found is None else str(found["state"])

    def wait(self, entity_id: str, state: str) -> None:
        """Waits until an entity has this state."""
        wait_for(
            lambda: self.state(entity_id) == state, what=f"{entity_id} {state}: {self.state(entity_id)}", timeout=30
        )

    @property
    def log(self) -> str:
        """What it logged."""
        return (self._folder / "log").read_text()

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "Home Assistant does not run"
        return self._process

    def _line(self) -> Any:
        stdout = self._running().stdout
        assert stdout is not None
        line = stdout.readline()
        assert line, self.log[-3000:]
        return json.loads(line)

    def _close(self) -> None:
        process, self._process = self._running(), None
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def installed() -> list[str]:
    """Returns the versions that `make test-homeassistant` installed."""
    return sorted(path.name for path in VERSIONS.glob("*") if (path / "bin" / "python").exists())
