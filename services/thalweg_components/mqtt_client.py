"""MQTT connections that stay up, and a client that acknowledges when it is told to; loads paho-mqtt."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from thalweg import InputFile, RejectedError, Secret, UnreachableError
from thalweg_components.backoff import Backoff
from thalweg_components.mqtt import Broker

CONNECT_TIMEOUT_S = 8.0
STEADY_S = 5.0  # up for so long, a connection counts as good; before that, two clients of one id throw each other out again and again
_TRANSIENT = "Server unavailable"


class HoldingClient(paho.Client):
    """Gives each message out when it arrives, and acknowledges it when `acknowledge` is called.

    paho's `manual_ack` is not enough: of QoS 2 it answers PUBREC, which hands the message over, before anybody has seen it, and what a
    process held then is lost with it. Here PUBREC is held back, which MQTT allows, and a repeated message is told by its id.
    """

    def __init__(self, client_id: str, *, clean_session: bool) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id, clean_session=clean_session, reconnect_on_failure=False)
        self._unanswered: int | None = None
        self.on_released: Callable[[int], None] = lambda _: None  # the broker has taken note of a PUBREC

    def acknowledge(self, mid: int, qos: int) -> None:
        """Hands a message over for good."""
        if qos == 1:
            super()._send_puback(mid)
        elif qos == 2:
            super()._send_pubrec(mid)

    def _handle_publish(self) -> MQTTErrorCode:
        self._unanswered = None
        code = super()._handle_publish()
        if self._unanswered is not None:
            with self._in_message_mutex:
                message = self._in_messages.pop(self._unanswered)
            self._handle_on_message(message)
        return code

    def _send_puback(self, mid: int) -> MQTTErrorCode:
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _send_pubrec(self, mid: int) -> MQTTErrorCode:
        self._unanswered = mid
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _send_pubcomp(self, mid: int) -> MQTTErrorCode:
        self.on_released(mid)
        return super()._send_pubcomp(mid)


def sender(client_id: str, broker: Broker, user: Secret | None, password: Secret | None, ca: InputFile | None) -> paho.Client:
    """A client that publishes; raises as `prepare`."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=not client_id, reconnect_on_failure=False)
    prepare(client, broker, user, password, ca)
    return client


def prepare(client: paho.Client, broker: Broker, user: Secret | None, password: Secret | None, ca: InputFile | None) -> None:
    """Sets who the client is, and whom it trusts.

    Raises:
        RejectedError: the file has no certificates (`mqtt.bad_ca`), or there is a password without a user (`secret.unbound`).
    """
    client.connect_timeout = CONNECT_TIMEOUT_S
    if password is not None and user is None:
        raise RejectedError("a password needs a user", code="secret.unbound", hint="secrets: {user: NAME, password: NAME}")
    if user is not None:
        client.username_pw_set(user.reveal(), password.reveal() if password is not None else None)
    if broker.is_tls:
        try:
            client.tls_set_context(_trusting(ca))
        except (ssl.SSLError, OSError) as error:
            raise RejectedError(f"ca: no PEM certificates: {error}", code="mqtt.bad_ca") from None


class _HandshakingContext(ssl.SSLContext):
    """Shakes hands at once: paho does so later, and leaves the socket open where that fails."""

    def wrap_socket(self, sock: socket.socket, *args: Any, **given: Any) -> ssl.SSLSocket:
        return super().wrap_socket(sock, *args, **{**given, "do_handshake_on_connect": True})


def _trusting(ca: InputFile | None) -> ssl.SSLContext:
    context = _HandshakingContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(str(ca.path))
    return context


class Link:
    """Keeps a client connected from `start` to `close`, on a thread of its own; pauses between tries grow.

    Args:
        client: prepared, not connected yet, and not reconnecting by itself.
        broker: where it connects to.
        keepalive_s: as MQTT has it.
        logger: is told of outages.
        on_up: called on the client's thread at each connection, with whether the broker still has the session.
        is_patient: whether it tries again.
    """

    def __init__(
        self,
        client: paho.Client,
        broker: Broker,
        keepalive_s: int,
        logger: logging.Logger,
        on_up: Callable[[bool], None] = lambda _: None,
        *,
        is_patient: bool = True,
    ) -> None:
        self._client, self._broker, self._keepalive_s, self._on_up = client, broker, keepalive_s, on_up
        self._backoff, self._is_patient = Backoff(logger, broker.url), is_patient
        self._changed = threading.Condition()
        self._gone, self._is_closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="mqtt-link", daemon=True)
        self.is_up, self.connects, self._refusal = False, 0, ""
        self.failure: BaseException | None = None
        client.on_connect, client.on_disconnect = self._connected, self._disconnected

    def start(self) -> None:
        """Begins to connect; returns at once."""
        self._thread.start()

    def wait_up(self, timeout_s: float | None) -> bool:
        """Waits until it is connected; whether it is, after so long.

        Raises:
            RejectedError: the broker has refused the first connection (`mqtt.refused`).
        """
        with self._changed:
            self._changed.wait_for(lambda: self.is_up or self._refusal or self._is_closed.is_set(), timeout_s)
        if self._refusal and not self.connects:
            hint = "the secrets user and password, and the file ca, must be those of the broker"
            raise RejectedError(f"{self._broker.url} refuses the connection: {self._refusal}", code="mqtt.refused", hint=hint)
        return self.is_up

    def close(self) -> None:
        """Says goodbye and ends the thread. Idempotent."""
        self._is_closed.set()
        self._gone.set()
        self._client.disconnect()
        if self._thread.is_alive():
            self._thread.join(CONNECT_TIMEOUT_S)

    def _keep(self) -> None:
        while not self._is_closed.is_set():
            self._gone.clear()
            try:
                self._client.connect(self._broker.host, self._broker.port, keepalive=self._keepalive_s)
            except (OSError, ValueError) as error:
                self.failure = error
                if isinstance(error, ssl.SSLCertVerificationError):
                    self._refuse(error.verify_message)
            else:
                self._client.loop_start()
                if not self._gone.wait(STEADY_S):
                    self._backoff.worked()
                    self._gone.wait()
                self._client.loop_stop()
                self._client._reset_sockets(sockpair_only=True)  # `loop_start` makes them anew, and would leave these open
            if not self._is_patient:
                self._is_closed.set()
            if self._is_closed.is_set() or (self._refusal and not self.connects):
                self._notify()
                return
            self._is_closed.wait(self._backoff.failed(self.failure or ConnectionError("the connection is lost")))

    def _connected(self, client: Any, userdata: Any, flags: paho.ConnectFlags, reason: ReasonCode, properties: Any) -> None:
        if reason.is_failure:
            self.failure = ConnectionRefusedError(str(reason))
            if str(reason) != _TRANSIENT:
                self._refuse(str(reason))
            return
        self.failure, self._refusal = None, ""
        self._on_up(flags.session_present)
        with self._changed:
            self.is_up, self.connects = True, self.connects + 1
            self._changed.notify_all()

    def _refuse(self, reason: str) -> None:
        self._refusal = reason
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _disconnected(self, *_: Any) -> None:
        with self._changed:
            self.is_up = False
            self._changed.notify_all()
        self._gone.set()


def probe(client: paho.Client, broker: Broker, keepalive_s: int) -> None:
    """Connects once and leaves.

    Raises:
        UnreachableError: nothing answers (`mqtt.unreachable`).
        RejectedError: the broker refuses (`mqtt.refused`).
    """
    link = Link(client, broker, keepalive_s, logging.getLogger("thalweg.probe"), is_patient=False)
    link.start()
    try:
        if not link.wait_up(CONNECT_TIMEOUT_S):
            raise UnreachableError(f"{broker.url} does not answer: {link.failure or 'no answer in time'}", code="mqtt.unreachable")
    finally:
        link.close()
