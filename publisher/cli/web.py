"""`publisher web URL`: the page of every node at a URL."""

from __future__ import annotations

from pathlib import Path

from ..client.subscription import subscribe
from ..plugins import WebRequest, load_plugins
from .host import until_interrupted


def serve_url(
    url: str, page: WebRequest, *, base: str, password_file: Path | None, token_file: Path | None, ca_file: Path | None
) -> None:
    """Serves the page of what is published at this URL until Ctrl+C; raises PublisherError."""
    serve = load_plugins().page("web")
    with until_interrupted():
        serve(page, subscribe(url, base=base, password_file=password_file, token_file=token_file, ca_file=ca_file))
