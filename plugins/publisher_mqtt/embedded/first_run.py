"""The broker for `publisher run` without a configuration: this host's if there is one, else an embedded one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .broker import LOOPBACK, EmbeddedBroker, EmbeddedBrokerError, ask

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_UNUSABLE = {
    "foreign": "{place} is taken by something that is no MQTT broker",
    "login": "the MQTT broker on {place} wants a user and a password: give them in a configuration (publisher init)",
}


@dataclass
class FirstRun:
    """What `prepare` found. `close` ends the embedded broker, if it was started, after the sinks are closed."""

    sink: dict[str, Any] | None
    """A sink's table as in the configuration file, to be added to `sinks`; `None`: go on with the terminal only."""
    lines: tuple[str, ...]
    """What to tell the person who started it."""
    broker: EmbeddedBroker | None = None

    def close(self) -> None:
        """End the broker that was started here; harmless when repeated."""
        if self.broker is not None:
            self.broker.close()


def prepare(log: FilteringBoundLogger, *, port: int = 1883, base: str = "interfaces") -> FirstRun:
    """Find or start a broker on 127.0.0.1; without one, say why. Raises nothing that is to be expected."""
    place = f"{LOOPBACK}:{port}"
    answer = ask(LOOPBACK, port)
    if answer == "nothing":
        return _start(log, port, base)
    if answer == "broker":
        log.info("using the MQTT broker that is there already", broker=place)
        return FirstRun(
            _sink(port, base), (f"Publishing to the MQTT broker that listens on {place}.", *_try(port, base))
        )
    reason = _UNUSABLE[answer].format(place=place)
    log.warning("no MQTT in this run", reason=reason)
    return FirstRun(None, (f"No MQTT in this run: {reason}.",))


def _start(log: FilteringBoundLogger, port: int, base: str) -> FirstRun:
    broker = EmbeddedBroker(port)
    try:
        broker.start()
    except EmbeddedBrokerError as error:
        log.warning("no MQTT in this run", reason=str(error))
        return FirstRun(None, (f"No MQTT in this run: {error}.",))
    log.info("embedded MQTT broker started", mqtt_3_1_1=f"{LOOPBACK}:{port}", mqtt_5=f"{LOOPBACK}:{broker.port_5}")
    told = f"Publishing to an embedded MQTT broker on {LOOPBACK}:{port}: for a first try, on this host only."
    return FirstRun(_sink(port, base), (told, *_try(port, base)), broker)


def _sink(port: int, base: str) -> dict[str, Any]:
    # 3.1.1, since the embedded broker speaks MQTT 5 on a port of its own, and the broker found may be such a one.
    return {"type": "mqtt", "url": f"mqtt://{LOOPBACK}:{port}", "protocol": "3.1.1", "base": base}


def _try(port: int, base: str) -> tuple[str, str]:
    # Double quotes, which every shell takes, cmd.exe too.
    return (
        f'Subscribe:  mosquitto_sub -h {LOOPBACK} -p {port} -v -t "{base}/#"',
        f"or watch:   publisher watch mqtt://{LOOPBACK}:{port}",
    )
