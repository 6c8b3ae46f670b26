"""Secrets in a configuration file that every user of the host may read."""

from __future__ import annotations

import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretBytes, SecretStr

from ..secret_options import is_secret_name, secrets_in, split_url
from ..sink import Sink, SinkOptions

if TYPE_CHECKING:
    from .settings import Settings


def exposed_secret(settings: Settings, plan: Mapping[str, tuple[type[Sink], SinkOptions]]) -> str | None:
    """Returns a remark about the first secret in a file that everybody may read; `None` when there is none."""
    file = settings.origin.file
    if file is None or not _everybody_may_read(file):
        return None
    for name, (_, options) in plan.items():
        for key in _secret_keys(settings.sinks.get(name, {}), options):
            if not settings.origin.is_variable(("sinks", name, key)):
                return (
                    f"everybody may read {file}, which holds a secret (sink {name!r}: {key}): let only the user that "
                    "runs publisher read it, or put the secret into a file of its own (password_file, secret_file, ...)"
                )
    return None


def _secret_keys(table: Mapping[str, Any], options: SinkOptions) -> Iterator[str]:
    for key, value in table.items():
        marked = _is_marked(getattr(options, key, None))
        named = is_secret_name(key) and any(secrets_in(value, named=True))
        url = split_url(value) if isinstance(value, str) else None
        if marked or named or (url is not None and url.password):
            yield key


def _is_marked(value: object) -> bool:
    """Returns whether an option's author marked it as a secret, or what is in it."""
    match value:
        case Mapping():
            return any(map(_is_marked, value.values()))
        case list() | tuple() | set() | frozenset():
            return any(map(_is_marked, value))
        case _:
            return isinstance(value, (SecretStr, SecretBytes))


def _everybody_may_read(path: Path) -> bool:
    if sys.platform == "win32":  # modes say nothing there
        return False
    try:
        path = path.resolve()
        reached = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
        return reached and bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
