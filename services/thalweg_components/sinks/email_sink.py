"""email-sink: sends a mail for each record."""

from __future__ import annotations

import hashlib
import time
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from thalweg import Context, Image, InputFile, Receipt, RecordError, RejectedError, Secret, UnreachableError, component
from thalweg.graph.types import StreamType
from thalweg_components.backoff import Backoff
from thalweg_components.fields import check_field
from thalweg_components.files.rows import field_value
from thalweg_components.payloads import payload_of
from thalweg_components.smtp import MailRefusedError, MailServer, check_server
from thalweg_components.text_template import MAX_TEXT, TextTemplate

T = TypeVar("T")


class Params(BaseModel):
    """Which server, and what is written to whom."""

    model_config = ConfigDict(extra="forbid")

    server: str = Field(description="smtp://mail.example:587, or smtps://mail.example:465 for TLS from the start")
    starttls: bool = Field(True, description="whether smtp:// must go over to TLS; false only where nobody can listen")
    sender: str = Field(max_length=320, description="address that mails come from, as in `Gate <gate@site.example>`")
    to: list[str] = Field(min_length=1, max_length=100, description="addresses that they go to")
    subject: str = Field(max_length=1000, description="{…} are expressions over the record")
    body: str = Field("", max_length=MAX_TEXT, description="plain text; {…} are expressions over the record")
    attach: list[str] = Field(default_factory=list, max_length=20, description="fields that are attached")
    null: str = Field("", max_length=100, description="what stands for null in subject and body")
    max_per_minute: float | None = Field(None, gt=0, le=60_000, description="mails are paced by it; what waits, waits on the log")
    give_up_after_s: float | None = Field(None, gt=0, description="of an outage; without it, it is waited out")

    @field_validator("server")
    @classmethod
    def _is_server(cls, text: str) -> str:
        return check_server(text)

    @field_validator("sender")
    @classmethod
    def _is_address(cls, text: str) -> str:
        return _check_address(text)

    @field_validator("to")
    @classmethod
    def _are_addresses(cls, found: list[str]) -> list[str]:
        return [_check_address(one) for one in found]


@component("email-sink", version="1.0.0", deterministic=False)
class EmailSink:
    """Sends a mail for each record.

    **Ports**: `in` takes any type; `receipts` proves what the mail server has taken: the id of the message, and how often it was tried.

    **Params**: `server` (`smtp://…:587` with STARTTLS, `smtps://…:465`), `starttls`, `sender`, `to`, `subject`, `body` (templates, as
    `template` has them), `attach` (fields: images as JPEG or PNG files, bytes, text, all else as JSON), `null`, `max_per_minute`,
    `give_up_after_s`. **Secrets**: `user`, `password`. **Files**: `ca` (text), PEM certificates to trust.

    **Delivery**: at least once. The `Message-ID` is made of deployment, vertex and record, so a mail that is sent again, as where the
    vertex is killed before its commit, has the same one: who looks at it shows the mail once. `Date` is the record's event time.
    An outage, and what the server refuses for now (4xx), is waited out, or makes a faulty record after `give_up_after_s`.

    **Faults**: what is refused for good (5xx), wrong credentials, an expression without a value. Where some of several addresses are
    refused, the others have their mail, and the log says which have not. Needs `pip install 'thalweg[cel]'`.
    """

    params: Params
    user: Secret | None
    password: Secret | None
    ca: Annotated[InputFile | None, "text"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Checks templates and fields; the port is as declared."""
        _templates(params, inputs["in"])
        for name in params.attach:
            check_field(inputs["in"], name, "attach")
        return {}

    def setup(self, context: Context) -> None:
        """Makes the templates; connects to nothing yet."""
        params = self.params
        self._subject, self._body = _templates(params, context.input_type("in"))
        self._server, self._backoff = self._mail_server(), Backoff(context.logger, params.server)
        self._next_s = 0.0
        self._place = hashlib.sha256(f"{context.run}/{context.vertex}".encode()).hexdigest()[:16]

    def process(self, record: T, context: Context) -> Receipt:
        """Sends one mail."""
        message = self._message(record, context)
        self._pace()
        started_s, limit_s, attempts = time.monotonic(), self.params.give_up_after_s, 0
        while True:
            attempts += 1
            try:
                refused = self._server.send(message)
            except MailRefusedError as error:
                raise RecordError(f"{self.params.server} refuses the mail: {error}") from None
            except OSError as error:
                pause_s = self._backoff.failed(error)
                if limit_s is not None and time.monotonic() - started_s + pause_s > limit_s:
                    raise RecordError(f"{self.params.server} has not taken the mail within {limit_s:g} s: {error}") from None
                time.sleep(pause_s)
            else:
                self._backoff.worked()
                for one in refused:
                    context.logger.warning("%s is refused for %s", message["Message-ID"], one)
                return Receipt(f"{self.params.server}/{','.join(self.params.to)}", message["Message-ID"], attempts)

    def close(self) -> None:
        """Leaves the server."""
        if hasattr(self, "_server"):
            self._server.close()

    def probe(self) -> None:
        """Connects and logs in."""
        try:
            self._mail_server().check()
        except MailRefusedError as error:
            hint = "bind the secrets user and password to those of the server"
            raise RejectedError(f"{self.params.server} refuses: {error}", code="mail.refused", hint=hint) from None
        except OSError as error:
            raise UnreachableError(f"{self.params.server} does not answer: {error}", code="mail.unreachable") from None

    def _mail_server(self) -> MailServer:
        params = self.params
        return MailServer(params.server, starttls=params.starttls, user=self.user, password=self.password, ca=self.ca)

    def _pace(self) -> None:
        if self.params.max_per_minute is not None:
            time.sleep(max(0.0, self._next_s - time.monotonic()))
            self._next_s = time.monotonic() + 60 / self.params.max_per_minute

    def _message(self, record: Any, context: Context) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self.params.sender, ", ".join(self.params.to)
        message["Subject"] = " ".join(self._subject.write(record).split())  # a header has one line
        message["Date"] = format_datetime(context.now())
        domain = parseaddr(self.params.sender)[1].partition("@")[2]
        message["Message-ID"] = f"<{context.record_id:016x}.{self._place}@{domain}>"
        message.set_content(self._body.write(record))
        for name in self.params.attach:
            value = field_value(record, name)
            if isinstance(value, str):
                message.add_attachment(value, filename=f"{name}.txt")
            elif value is not None:
                main, sub, ending = _kind_of(value)
                message.add_attachment(payload_of(value), maintype=main, subtype=sub, filename=f"{name}.{ending}")
        return message


def _templates(params: Params, kind: StreamType) -> tuple[TextTemplate, TextTemplate]:
    return TextTemplate(params.subject, kind, params.null), TextTemplate(params.body, kind, params.null)


def _kind_of(value: Any) -> tuple[str, str, str]:
    """MIME type of an attachment, and the ending of its name."""
    if isinstance(value, Image):
        return ("image", "png", "png") if value.format == "png" else ("image", "jpeg", "jpg")
    if isinstance(value, bytes):
        return "application", "octet-stream", "bin"
    return "application", "json", "json"


def _check_address(text: str) -> str:
    _, address = parseaddr(text)
    name, _, domain = address.partition("@")
    if not name or not domain or any(one in text for one in "\r\n,"):
        raise ValueError(f"{text[:80]!r} is no mail address")
    return text
