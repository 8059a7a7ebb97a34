"""The routes of the gateway: which URL does what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response, WebSocket
from starlette.responses import JSONResponse
from starlette.websockets import WebSocketState

from thalweg.bus.connection import NatsError
from thalweg.errors import ThalwegError, UnreachableError
from thalweg_gateway.cam import camera_page
from thalweg_gateway.directory import Directory, Route
from thalweg_gateway.inputs import Inputs
from thalweg_gateway.openapi import Described, to_ask, to_post, to_read
from thalweg_gateway.outputs import Outputs
from thalweg_gateway.refusals import RequestError, refusal

MAX_TOKEN = 200
FindRoute = Callable[[str | None], Awaitable[Route]]


def make_app(directory: Directory, inputs: Inputs, outputs: Outputs) -> FastAPI:
    """The application.

    Args:
        directory: where URLs lead.
        inputs, outputs: what is done there.
    """
    app = Described(title="Thalweg gateway", docs_url=None, redoc_url=None, default_response_class=Response)

    @app.exception_handler(ThalwegError)
    async def refuse(_request: Request, error: ThalwegError) -> Response:
        return refusal(error)

    @app.exception_handler(NatsError)
    @app.exception_handler(OSError)
    async def say_unreachable(_request: Request, error: Exception) -> Response:
        return refusal(_unreachable(error))

    async def post(request: Request, find: FindRoute) -> Response:
        return await inputs.post(request, _of_side(await find(token_of(request)), "in"))

    async def get(request: Request, name: str, find: FindRoute) -> Response:
        return await outputs.get(request, name, _of_side(await find(token_of(request)), "out"))

    async def connect(socket: WebSocket, name: str, find: FindRoute) -> None:
        try:
            route = await find(token_of(socket))
            if route.vertex.endpoint == "in":
                await inputs.stream(socket, route)
            else:
                await outputs.stream(socket, name, route)
        except (ThalwegError, NatsError, OSError) as error:
            if socket.client_state is WebSocketState.CONNECTING:
                await socket.send_denial_response(refusal(error if isinstance(error, ThalwegError) else _unreachable(error)))

    @app.get("/healthz", response_class=JSONResponse)
    async def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/cam/{name}/{vertex}/{endpoint}", include_in_schema=False)
    async def show_camera_page(name: str, vertex: str, endpoint: str) -> Response:
        return camera_page()

    @app.post("/e/{name}/{vertex}/{endpoint}", **to_post())
    async def post_to_endpoint(request: Request, name: str, vertex: str, endpoint: str) -> Response:
        return await post(request, lambda token: directory.open_endpoint(name, vertex, endpoint, token))

    @app.get("/e/{name}/{vertex}/{endpoint}", **to_read())
    async def get_from_endpoint(request: Request, name: str, vertex: str, endpoint: str) -> Response:
        return await get(request, name, lambda token: directory.open_endpoint(name, vertex, endpoint, token))

    @app.get("/e/{name}/{vertex}/{endpoint}/{record}", **to_ask())
    async def ask_again(request: Request, name: str, vertex: str, endpoint: str, record: str) -> Response:
        route = _of_side(await directory.open_endpoint(name, vertex, endpoint, token_of(request)), "in")
        return await inputs.ask_again(request, route, record)

    @app.websocket("/e/{name}/{vertex}/{endpoint}")
    async def connect_to_endpoint(socket: WebSocket, name: str, vertex: str, endpoint: str) -> None:
        await connect(socket, name, lambda token: directory.open_endpoint(name, vertex, endpoint, token))

    @app.post("/a/{name}/{alias}", **to_post())
    async def post_to_alias(request: Request, name: str, alias: str) -> Response:
        return await post(request, lambda token: directory.open_alias(name, alias, token))

    @app.get("/a/{name}/{alias}", **to_read())
    async def get_from_alias(request: Request, name: str, alias: str) -> Response:
        return await get(request, name, lambda token: directory.open_alias(name, alias, token))

    @app.websocket("/a/{name}/{alias}")
    async def connect_to_alias(socket: WebSocket, name: str, alias: str) -> None:
        await connect(socket, name, lambda token: directory.open_alias(name, alias, token))

    return app


def token_of(request: Request | WebSocket) -> str | None:
    """The bearer token, or, for what cannot set headers, the one in the query."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else request.query_params.get("token")
    return given if given and len(given) <= MAX_TOKEN else None


def _unreachable(error: Exception) -> UnreachableError:
    return UnreachableError(f"no answer: {type(error).__name__}", code="nats.unreachable", hint="try again later")


def _of_side(route: Route, side: str) -> Route:
    if route.vertex.endpoint != side:
        what = "records come out here, and none go in" if side == "in" else "records go in here, and none come out"
        raise RequestError(f"{route.vertex.name}.{route.vertex.endpoint}: {what}", code="endpoint.wrong_side")
    return route
