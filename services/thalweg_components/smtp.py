"""One SMTP server, to which mails are handed over."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from urllib.parse import urlsplit

from thalweg import InputFile, RejectedError, Secret

TIMEOUT_S = 8.0
_MAX_SHOWN = 200


class MailRefusedError(Exception):
    """The server will not take it, however often it is asked."""


def check_server(text: str) -> str:
    """The URL of a server.

    Raises:
        ValueError: it is none, or has a user or a password in it.
    """
    parts = urlsplit(text)
    if parts.username or parts.password:
        raise ValueError("user and password are secrets: bind the slots user and password")
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("not like smtp://mail.example:587 or smtps://mail.example:465")
    return text


class MailServer:
    """Connects when it has something to send, and keeps the connection for what follows.

    Args:
        url: `smtp://…`, or `smtps://…` for TLS from the start.
        starttls: whether `smtp://` must go over to TLS.
        user, password: without a user, nobody logs in.
        ca: PEM certificates to trust; None for those of the system.

    Raises:
        RejectedError: a user without a password, or the other way round (`secret.unbound`); no certificates (`mail.bad_ca`).
    """

    def __init__(self, url: str, *, starttls: bool, user: Secret | None, password: Secret | None, ca: InputFile | None) -> None:
        if (user is None) != (password is None):
            raise RejectedError("user and password go together", code="secret.unbound", hint="secrets: {user: NAME, password: NAME}")
        parts = urlsplit(url)
        self._is_tls, self._starttls = parts.scheme == "smtps", starttls
        self._host, self._port = parts.hostname or "", parts.port or (465 if self._is_tls else 587)
        self._user, self._password = user, password
        try:
            self._trusted = ssl.create_default_context(cafile=str(ca.path) if ca is not None else None)
        except (ssl.SSLError, OSError) as error:
            raise RejectedError(f"ca: no PEM certificates: {error}", code="mail.bad_ca") from None
        self._connection: smtplib.SMTP | None = None

    def send(self, message: EmailMessage) -> list[str]:
        """Hands a mail over; the addresses that are refused, where others are not.

        Raises:
            MailRefusedError: for good.
            OSError: it may work later; whether the server has the mail is not known then.
        """
        with self._told_apart():
            refused = self._open().send_message(message)
            return [f"{address}: {code} {text.decode(errors='replace')}"[:_MAX_SHOWN] for address, (code, text) in refused.items()]

    def check(self) -> None:
        """Connects, logs in and leaves; raises as `send`."""
        with self._told_apart():
            self._open()
        self.close()

    def close(self) -> None:
        """Leaves the server. Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):  # smtplib's errors are such
                connection.quit()
            connection.close()

    def _open(self) -> smtplib.SMTP:
        if self._connection is None:
            if self._is_tls:
                connection: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT_S, context=self._trusted)
            else:
                connection = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S)
            self._connection = connection
            if self._starttls and not self._is_tls:
                connection.starttls(context=self._trusted)
            if self._user is not None and self._password is not None:
                connection.login(self._user.reveal(), self._password.reveal())
        return self._connection

    @contextmanager
    def _told_apart(self) -> Iterator[None]:
        """Closes the connection at an error, and tells what is refused for good from what may pass."""
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            address, (code, said) = next(iter(error.recipients.items()))
            self._fail(f"{address}: {code} {said.decode(errors='replace')}", is_final=min(codes) >= 500)
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else str(error.smtp_error)
            self._fail(f"{error.smtp_code} {text}", is_final=error.smtp_code >= 500)
        except (smtplib.SMTPNotSupportedError, ssl.SSLCertVerificationError, UnicodeEncodeError) as error:
            self._fail(str(error), is_final=True)
        except OSError as error:
            self._fail(f"{type(error).__name__}: {error}", is_final=False)

    def _fail(self, reason: str, *, is_final: bool) -> None:
        self.close()
        raise (MailRefusedError if is_final else ConnectionError)(reason[:_MAX_SHOWN]) from None
