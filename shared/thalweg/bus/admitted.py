"""nats-py's client with what it lacks: credentials that are read anew, a server that has to speak TLS, why it was refused."""

from __future__ import annotations

import base64
import logging
import ssl
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.errors import Error as NatsError

from thalweg.access.access import Access
from thalweg.errors import ThalwegError

if TYPE_CHECKING:
    from thalweg.access.credentials import Credentials

_log = logging.getLogger("thalweg.bus")
_REFUSALS = (
    *("authorization violation", "authentication", "permissions violation", "expired", "revoked", "secure connection"),
    *("certificate", "does not speak tls", "credentials"),
)


class AdmittedClient(Client):
    """nats-py's, which may also be closed while the server is away, and knows why it was not let in.

    Args:
        access: by which it is let in.

    Attributes:
        credentials: as they were sent last; None where there are none.
        replicas: on how many servers a stream is kept that is made over this connection.
        refusal: what the server has said when it last refused something, or the connection; empty while it has not.
    """

    replicas = 1

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access, self.refusal = access, ""
        self.credentials: Credentials | None = None

    async def close(self) -> None:
        """Closes the connection; what waits for a server that is away is dropped."""
        if not self.is_connected:  # nats-py would write it to the closed transport, at which uvloop raises RuntimeError
            self._pending, self._pending_data_size = [], 0
        await super().close()
        if self._transport is not None:  # nats-py leaves it open where it was cancelled while it closed, as it is once it was refused
            self._transport.close()  # type: ignore[no-untyped-call]

    async def note(self, error: Exception) -> None:
        """Takes what went wrong beside the calls: while connecting, or of what the server does not allow."""
        said = str(error) or type(error).__name__
        if any(word in said.lower() for word in _REFUSALS):
            if said != self.refusal:
                _log.warning("NATS refuses: %s", said)
            self.refusal = said
        else:
            _log.debug("nats: %s", said)

    def _connect_command(self) -> bytes:
        """What is sent first; here, too, to refuse a server in whose place somebody else may be."""
        server = self._current_server
        scheme = str(server.uri.scheme) if server is not None else ""
        if not self._server_info.get("tls_required") and scheme != "wss" and (self._access.demands_tls or scheme == "tls"):
            raise ssl.SSLError("the server does not speak TLS")
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:  # nats-py makes streams that do not know of TLS, which costs a warning at the end of each
            writer._protocol._over_ssl = self._server_info.get("tls_required", False)
        return super()._connect_command()

    def sign(self, nonce: str) -> bytes:
        """Reads the credentials again: they may have been replaced."""
        try:
            self.credentials = self._access.credentials()
        except ThalwegError as error:
            raise NatsError(str(error)) from error  # nats-py tries again after errors of its own alone
        assert self.credentials is not None
        return base64.b64encode(self.credentials.key.sign(nonce.encode()))

    def token(self) -> bytes:
        """Of the credentials that have signed."""
        return self.credentials.jwt.encode() if self.credentials is not None else b""
