"""Examples for the help of each command, and the places where the configuration is looked for."""

from __future__ import annotations

import sys

FOUND_CONFIGS = (
    r"publisher.toml, %LOCALAPPDATA%\interface-publisher\publisher.toml, "
    r"%PROGRAMDATA%\interface-publisher\publisher.toml"
    if sys.platform == "win32"
    else "publisher.toml, ~/.config/interface-publisher/publisher.toml, /etc/interface-publisher/publisher.toml"
)

_EXAMPLES = {
    "run": ("run", "run --config /etc/interface-publisher/publisher.toml", "run --verbose --source recording:a.jsonl"),
    "status": ("status", "status --json"),
    "history": (
        "history",
        "history eth0 --since 24h",
        "history 'wl*' --kind link_down --limit 20",
        "history --since yesterday --json",
    ),
    "watch": ("watch", "watch --family inet --lines", "watch mqtt://homelab@broker.lan --password-file secret"),
    "snapshot": ("snapshot", "snapshot eth0", "snapshot --json --family inet6"),
    "check": ("check", "check --offline --config new.toml"),
    "replay": ("replay home", "replay home --since 1200"),
    "dead-letters": (
        "dead-letters",
        "dead-letters --show 7",
        "dead-letters hook --retry",
        "dead-letters --drop --id 7 --id 9",
    ),
    "forget": ("forget", "forget home", "forget --all", "forget mqtt://homelab@broker.lan --node oldname"),
    "plugins": ("plugins", "plugins new my-chat"),
    "schema": ("schema event", "schema asyncapi"),
    "record": ("record changes.jsonl", "run --source recording:changes.jsonl"),
    "service": (
        "service install",
        r'service install --config "C:\ProgramData\interface-publisher\publisher.toml"',
        "service start",
        "service remove",
    ),
    "web": (
        "web mqtt://homelab@broker.lan --password-file secret",
        "web http://nas.lan:8780 --token-file nas-token --address 127.0.0.1:8781",
    ),
    "init": ("init", "init /etc/interface-publisher/publisher.toml"),
}


def examples(command: str) -> str:
    """Returns the end of a command's help: a paragraph that begins with a backspace, whose lines click keeps."""
    return "\b\nExamples:\n" + "\n".join(f"  publisher {line}" for line in _EXAMPLES[command])
