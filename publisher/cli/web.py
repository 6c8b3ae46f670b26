"""`publisher web URL`: the page of every node at a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..client.subscription import subscribed
from ..plugins import WebRequest, load_plugins
from .host import until_interrupted

if TYPE_CHECKING:
    from ..client import SubscribeRequest


def serve_url(request: SubscribeRequest, page: WebRequest) -> None:
    """Serves the page of what is published at this URL until Ctrl+C; raises PublisherError."""
    serve = load_plugins().page("web")
    with until_interrupted():
        serve(page, subscribed(request))
