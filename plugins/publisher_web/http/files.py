"""The files of the page, from the folder `page`."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}


class _File(NamedTuple):
    body: bytes
    kind: str
    tag: str


class PageFiles:
    """The files by name, read once. A name that is none of them is not found, so no path leads elsewhere."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        for file in files("publisher_web").joinpath("page").iterdir():
            suffix = f".{file.name.rpartition('.')[2]}"
            if suffix in _KINDS and file.is_file():
                body = file.read_bytes()
                self._files[file.name] = _File(body, _KINDS[suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def answer(self, name: str, request: Request) -> Response:
        """Returns the file; 304 when the browser has it."""
        file = self._files.get(name)
        if file is None:
            return PlainTextResponse("There is no such file.", 404, {"cache-control": "no-store"})
        headers = {"cache-control": "no-cache", "etag": file.tag}
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.body, media_type=file.kind, headers=headers)
