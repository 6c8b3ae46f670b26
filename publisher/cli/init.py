"""`publisher init`: a configuration to start from."""

from __future__ import annotations

from pathlib import Path

import typer

from ..errors import PublisherError

TEMPLATE = """\
# publisher's configuration. What is commented out shows the default or an example.
# Every setting can be given as an environment variable too, tables with two underscores: PUBLISHER_SINKS__HOME__URL.
# `publisher check` says whether it works; a running service reads it again on SIGHUP.

# This host's name in events and topics.
# node = "nas"

# Everything is read again this often, for the few settings that change silently.
# reconcile_seconds = 60

# [filter]
# Which interfaces are watched, by shell patterns for their names; exclude wins, an empty include is all.
# include = []
# exclude = ["lo", "docker*", "veth*"]

# [journal]
# The durable log of events; "full" survives a power cut as well, at a price.
# path = "/var/lib/interface-publisher/journal.sqlite3"
# max_events = 100000
# max_bytes = 67108864
# synchronous = "normal"

# [log]
# level = "info"
# format = "auto"

# [metrics]
# Metrics for Prometheus, served at this address; needs the extra "metrics".
# address = "127.0.0.1:9464"

# One table for each destination, by a name of your choice. `publisher plugins` lists the types there are.
[sinks.terminal]
type = "terminal"

# [sinks.home]
# type = "mqtt"
# url = "mqtts://homelab@broker.lan:8883"
# password_file = "/run/secrets/mqtt"

# [sinks.hook]
# type = "webhook"
# url = "https://example.net/hook"

# [sinks.log]
# type = "file"
# path = "/var/log/interfaces.jsonl"
"""


def write_configuration(path: Path) -> None:
    """Write it; raises PublisherError when the file exists or cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise PublisherError(f"{path} exists already and is left as it is") from None
    except OSError as error:
        raise PublisherError(f"{path}: cannot be written: {error.strerror}") from None
    typer.echo(f"{path} written; next: publisher check --config {path}")
