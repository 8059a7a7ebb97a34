"""The HTTP client of components: bounded in time and size, follows no redirects, tries again what may go later."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import logging
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

import httpcore
import httpx

from thalweg import InputFile, RecordError, RejectedError, Secret, UnreachableError
from thalweg_components.backoff import Backoff
from thalweg_components.http_params import HttpParams

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_RETRY_AFTER_S = 300.0
PROBE_TIMEOUT_S = 8.0
MAX_SHOWN = 200
logging.getLogger("httpx").setLevel(logging.WARNING)  # it writes a line, with the whole URL, for each request
Headers = dict[str, str]


class PrivateAddressError(Exception):
    """A host has an address that is not of the public internet, and only such are wanted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server has answered: status, headers, and as much of the body as was wanted."""

    status: int
    headers: httpx.Headers
    body: bytes


class HttpClient:
    """Requests to one target. Made and used on one event loop.

    Args:
        params: as a component has them.
        authorization: value of the header of that name.
        ca: PEM certificates to trust beside the machine's.
    """

    def __init__(self, params: HttpParams, authorization: Secret | None = None, ca: InputFile | None = None) -> None:
        self._params = params
        context = ssl.create_default_context()
        if ca is not None:
            context.load_verify_locations(cafile=str(ca.path))
        headers = {"user-agent": "thalweg", **params.headers}
        if authorization is not None:
            headers["authorization"] = authorization.reveal()
        transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
        if not params.private_addresses:
            transport._pool._network_backend = _PublicOnly()  # the address that was looked at is the one that is connected to
        timeout = httpx.Timeout(params.timeout_s)
        self._client = httpx.AsyncClient(headers=headers, timeout=timeout, follow_redirects=False, transport=transport, trust_env=False)

    async def close(self) -> None:
        """Closes its connections."""
        await self._client.aclose()

    async def once(self, method: str, url: str, headers: Headers, body: bytes | None = None) -> Answer:
        """One request.

        Raises:
            httpx.TransportError, TimeoutError: nobody answers.
            RecordError: the URL is none, its address is private, or the answer is too large.
        """
        try:
            async with asyncio.timeout(self._params.timeout_s), self._client.stream(method, url, headers=headers, content=body) as response:
                found = bytearray()
                async for piece in response.aiter_bytes():
                    found += piece
                    if len(found) > self._params.max_response_bytes:
                        raise RecordError(f"the answer has more than {self._params.max_response_bytes:,} bytes")
                return Answer(response.status_code, response.headers, bytes(found))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise RecordError(f"not a URL that can be asked: {type(error).__name__}") from None
        except PrivateAddressError as error:
            raise RecordError(str(error)) from None

    async def settle(
        self, ask: Callable[[], tuple[str, str, Headers, bytes | None]], backoff: Backoff, give_up_after_s: float | None
    ) -> tuple[Answer, int]:
        """Asks until there is an answer that is not only for now; with how often it was asked.

        Args:
            ask: method, URL, headers and body; made anew for each try.
            backoff: of the target.
            give_up_after_s: of an outage; None waits for ever.

        Raises:
            RecordError: the outage lasts too long, or what `once` raises.
        """
        began_s, attempts = time.monotonic(), 0
        while True:
            attempts += 1
            wait_s = 0.0
            try:
                answer = await self.once(*ask())
                if answer.status not in RETRIED:
                    backoff.worked()
                    return answer, attempts
                error: Exception = RecordError(f"status {answer.status}")
                wait_s = retry_after_s(answer.headers.get("retry-after"), time.time())
            except (httpx.HTTPError, TimeoutError, OSError) as failed:
                error = failed
            pause_s = max(backoff.failed(error), wait_s)
            if give_up_after_s is not None and time.monotonic() + pause_s - began_s > give_up_after_s:
                raise RecordError(f"not taken within {give_up_after_s:g} s: {reason_of(error)}") from None
            await asyncio.sleep(pause_s)

    async def probe(self, method: str, url: str, target: str, refused: Iterable[int] = (401, 403)) -> Answer:
        """One request to see whether anybody answers, and takes the credentials.

        Raises:
            UnreachableError: nobody does.
            RejectedError: it refuses them.
        """
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                answer = await self.once(method, url, {})
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{target}: {reason_of(error)}", code="http.unreachable", target=target) from None
        except RecordError as error:
            refuse(f"{target}: {error}", target)
        if answer.status in refused:
            refuse(f"{target}: status {answer.status}", target)
        return answer


def refuse(what: str, target: str) -> NoReturn:
    """Raises RejectedError (`http.refused`)."""
    raise RejectedError(what, code="http.refused", target=target) from None


def reason_of(error: Exception) -> str:
    """An error in a few words."""
    return str(error)[:MAX_SHOWN] if isinstance(error, RecordError) else f"{type(error).__name__}: {error}"[:MAX_SHOWN].rstrip(": ")


def retry_after_s(text: str | None, now_s: float) -> float:
    """How long a server wants to be left alone, as its header says: seconds, or a date. Bounded.

    Source: RFC 9110, 10.2.3.
    """
    if not text:
        return 0.0
    if text.strip().isdecimal():
        return min(float(text), LONGEST_RETRY_AFTER_S)
    try:
        wanted = email.utils.parsedate_to_datetime(text).timestamp() - now_s
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, wanted), LONGEST_RETRY_AFTER_S)


class _PublicOnly(httpcore.AsyncNetworkBackend):
    """Connects to public addresses alone, whatever name leads there."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # as httpcore has it
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        """Looks the name up, and connects to what was found."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        for address in addresses:
            if not ipaddress.ip_address(address.partition("%")[0]).is_global:
                raise PrivateAddressError(f"{host} has the address {address}, which is private: private_addresses is false")
        return await self._inner.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise PrivateAddressError(f"{path} is on this machine: private_addresses is false")

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await self._inner.sleep(seconds)
