"""The addresses of the page: an ASGI application over what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from publisher.events import Family

from ..shown.interfaces import HistoryRequest, ShownInterfaces, Unavailable
from ..stream.messages import LastSeen, joined_pieces
from ..stream.viewer import PageViewer
from .files import PageFiles
from .guard import Receive, Scope, Send

# Of the 256 connections; the others are for short requests.
_MOST_VIEWERS = 200
_NO_STORE = {"cache-control": "no-store"}


class _History(BaseModel):
    """The parameters of `/api/history`."""

    model_config = ConfigDict(extra="forbid")

    node: Annotated[str, Field(max_length=255)] | None = None
    luid: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    family: Family | None = None
    before: Annotated[int, Field(ge=0, lt=10**16)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class Events:
    """`/events`: Server-Sent Events for many viewers. An ASGI application."""

    def __init__(self, shown: ShownInterfaces) -> None:
        self._shown = shown
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        stream = self._shown.stream
        if len(stream.viewers) >= _MOST_VIEWERS:
            answer = JSONResponse({"error": f"there are {_MOST_VIEWERS} viewers already"}, 503, {"retry-after": "10"})
            await answer(scope, receive, send)
            return
        given = request.headers.get("last-event-id") or request.query_params.get("since") or ""
        viewer = PageViewer(self._shown, LastSeen.of(given), with_text=request.query_params.get("text") == "1")
        stream.viewers.add(viewer)
        try:
            await self._serve(viewer, receive, send)
        finally:
            stream.viewers.discard(viewer)

    def close(self) -> None:
        """Ends the answers to all viewers."""
        if not self._closing.done():
            self._closing.set_result(None)

    async def _serve(self, viewer: PageViewer, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        # nginx holds answers back until they are whole, unless it is told not to.
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, (b"x-accel-buffering", b"no")]})
        sending = asyncio.ensure_future(_send_pieces(viewer, send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((sending, leaving, self._closing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            ended, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
        # The rows cannot be read: the viewer connects again, and the reason is in the log of who reads them.
        if isinstance(ended, Exception) and not isinstance(ended, Unavailable):
            raise ended
        await send({"type": "http.response.body", "body": b""})


async def _send_pieces(viewer: PageViewer, send: Send) -> None:
    async for piece in viewer.pieces():
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def page_application(shown: ShownInterfaces, events: Events) -> Starlette:
    """Returns the application: the page, its files, and the API."""
    files = PageFiles()

    async def page(_: Request) -> Response:
        return files.answer("index.html", _)

    async def page_file(request: Request) -> Response:
        return files.answer(request.path_params["name"], request)

    async def rows(_: Request) -> Response:
        return _InPieces(await shown.rows())

    async def history(request: Request) -> Response:
        try:
            asked = _History.model_validate(dict(request.query_params))
        except ValidationError as error:
            return JSONResponse({"error": _reason(error)}, 400, _NO_STORE)
        found = await shown.history(HistoryRequest(**asked.model_dump()))
        return Response(found, media_type="application/json", headers=_NO_STORE)

    async def status(_: Request) -> Response:
        return JSONResponse(await shown.status(), headers=_NO_STORE)

    async def unavailable(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 503, {**_NO_STORE, "retry-after": "5"})

    async def refused(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return PlainTextResponse(HTTPStatus(status).phrase, status, _NO_STORE)

    application = Starlette(
        routes=[
            Route("/", page),
            Route("/page/{name}", page_file),
            Route("/api/rows", rows),
            Route("/api/history", history),
            Route("/api/status", status),
            Route("/events", events),
        ],
        # Starlette's own handler of 404 runs on a thread, in older versions.
        exception_handlers={Unavailable: unavailable, HTTPException: refused},
    )
    application.router.redirect_slashes = False
    return application


class _InPieces(Response):
    """An answer of many parts. Starlette's own StreamingResponse has a second task for each, and loads all of anyio."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        super().__init__(None, 200, {**_NO_STORE, "transfer-encoding": "chunked"}, "application/json")
        del self.headers["content-length"]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # as ASGI has it
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        for piece in joined_pieces(self._parts):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _reason(error: ValidationError) -> str:
    found: Any = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, found['loc']))}: {found['msg']}"
