"""`publisher init`: a commented configuration to start from."""

from __future__ import annotations

from pathlib import Path

from ..errors import PublisherError
from ..terminal import echo
from .process import not_written

TEMPLATE = """\
# The configuration of publisher. A line that is commented out shows the default or an example.
# Every setting can be given as an environment variable too, tables with two underscores: PUBLISHER_SINKS__HOME__URL.
# `publisher check` tests it; a running service reads it again on SIGHUP, on Windows by `publisher service reload`.

# This host's name in events and topics.
# node = "nas"

# Everything is read again after so many seconds, for the few settings that change without a notification.
# reconcile_seconds = 60

# [filter]
# The interfaces that are watched, as shell patterns for their names. exclude wins; an empty include means all.
# include = []
# exclude = ["lo", "docker*", "veth*"]

# [journal]
# The durable log of events. "full" also survives a power cut, but waits for the disk at each write.
# path = "/var/lib/interface-publisher/journal.sqlite3"
# max_events = 100000
# max_bytes = 67108864
# synchronous = "normal"

# [log]
# level = "info"
# format = "auto"

# [metrics]
# Serves metrics for Prometheus at this address; needs the extra "metrics".
# address = "127.0.0.1:9464"

# One table for each destination, under a name of your choice. `publisher plugins` lists the types.
[sinks.terminal]
type = "terminal"
# Each sink may have these three (docs/filters.md).
# only = { interfaces = ["wan*"], families = ["inet"] }
# settle = "5s"
# snapshot = false

# [sinks.home]
# type = "mqtt"
# url = "mqtts://homelab@broker.lan:8883"
# password_file = "/run/secrets/mqtt"

# [sinks.hook]
# type = "webhook"
# url = "https://example.net/hook"
# format = "binary"  # for Express, n8n and Node-RED, which read application/json only

# [sinks.page]  # a page in the browser; with pip, install 'interface-publisher[web]'
# type = "web"
# address = "127.0.0.1:8780"

# [sinks.script]
# type = "command"
# command = ["/usr/local/bin/interface-changed"]  # the event is on standard input, and its parts are in variables

# [sinks.phone]  # pip install 'interface-publisher[notify]'; the URLs are those of Apprise
# type = "notify"
# urls = ["ntfys://ntfy.example/my-alerts"]
# only = { kinds = ["link_down", "speed_decreased"] }

# The service of systemd may write files below /var/log/interface-publisher only.
# [sinks.log]
# type = "file"
# path = "/var/log/interface-publisher/interfaces.jsonl"
"""


def write_configuration(path: Path) -> None:
    """Writes the configuration; raises PublisherError when the file exists or cannot be written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise PublisherError(f"{path} exists already and was not changed: name another file") from None
    except OSError as error:
        raise PublisherError(not_written(path, error)) from None
    echo(f"{path} written; next: publisher check --config {path}")
