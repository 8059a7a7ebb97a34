"""email-sink against a real SMTP server: TLS, credentials, refusals, an outage."""

from __future__ import annotations

import email
import email.policy
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from integration.certificates import make_certificate
from integration.live import bound
from thalweg import Image, RejectedError, RunFailedError, UnreachableError
from thalweg.embedded.servers import free_ports
from thalweg.testing import run_component
from thalweg_components.sinks.email_sink import EmailSink

KEYS = {"user": "gate", "password": "open sesame"}
PIXEL = Image(format="png", width=1, height=1, data=b"\x89PNG a picture")


class Mailbox:
    """Keeps mails; refuses some, as their addresses say."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.busy = 0  # so many are refused for now

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if address.startswith("nobody"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.busy:
            self.busy -= 1
            return "451 come back later"
        self.mails.append(email.message_from_bytes(envelope.content or b"", policy=email.policy.default))  # type: ignore[arg-type]
        return "250 taken"


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"gate", b"open sesame")
    return AuthResult(success=known, handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture(scope="module")
def mail(certificate: tuple[Path, Path]) -> Iterator[Controller]:
    """A server that wants STARTTLS and a password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])
    needs: dict[str, Any] = {"tls_context": context, "require_starttls": True, "auth_required": True, "authenticator": authenticate}
    found = Controller(Mailbox(), hostname="127.0.0.1", port=free_ports(1)[0], **needs)
    found.start()
    yield found
    found.stop()


def params(server: Controller, **more: Any) -> dict[str, Any]:
    url = f"smtp://127.0.0.1:{server.port}"
    return {"server": url, "sender": "Gate <gate@site.example>", "to": ["ops@site.example"], "subject": "{name}: {n}"} | more


def test_a_mail_has_what_the_record_says_and_its_id_is_the_records(mail: Controller, certificate: tuple[Path, Path]) -> None:
    mail.handler.mails.clear()
    records = [
        {"name": "Gate\r\nBcc: all", "n": 1.5, "shot": PIXEL, "note": "grüße", "more": [1, 2]},
        {"name": "b", "n": 2.0} | {"shot": PIXEL, "note": "", "more": []},
    ]
    asked = params(mail, body="It was {n:.2f} °C", attach=["shot", "note", "more"])
    runs = [
        run_component(EmailSink, records, asked, {"ca": certificate[1]}, [1_700_000_000_000_000_000] * 2, secrets=KEYS) for _ in range(2)
    ]
    first, second, *_ = mails = mail.handler.mails
    assert (first["Subject"], first["From"], first["To"]) == ("Gate Bcc: all: 1.5", "Gate <gate@site.example>", "ops@site.example")
    assert first["Bcc"] is None and first["Date"].datetime.timestamp() == 1_700_000_000
    assert first.get_body().get_content().strip() == "It was 1.50 °C"
    attached = [(one.get_filename(), one.get_content_type(), one.get_content()) for one in first.iter_attachments()]
    assert attached == [
        ("shot.png", "image/png", PIXEL.data),
        ("note.txt", "text/plain", "grüße\r\n"),
        ("more.json", "application/json", b"[1,2]"),
    ]
    ids = [one["Message-ID"] for one in mails]
    assert ids[:2] == ids[2:] and ids[0] != second["Message-ID"], "a mail that is sent again has the id that it had"
    assert [one.reference for one in runs[0].outputs["receipts"]] == ids[:2]


def test_what_is_refused_for_good_is_faulty_and_what_is_refused_for_now_is_tried_again(
    mail: Controller, certificate: tuple[Path, Path]
) -> None:
    mail.handler.mails.clear()
    mail.handler.busy = 2
    ca = {"ca": certificate[1]}
    found = run_component(EmailSink, [{"name": "a", "n": 1}], params(mail), ca, secrets=KEYS)
    assert found.outputs["receipts"][0].attempts == 3 and len(mail.handler.mails) == 1
    found = run_component(
        EmailSink, [{"name": "a", "n": 1}], params(mail, to=["nobody@x.example"]), ca, on_error="dead-letter", secrets=KEYS
    )
    assert "550 no such mailbox" in found.dead[0]["error"]
    found = run_component(EmailSink, [{"name": "a", "n": 1}], params(mail, to=["nobody@x.example", "ops@x.example"]), ca, secrets=KEYS)
    assert len(found.outputs["receipts"]) == 1 and len(mail.handler.mails) == 2


def test_wrong_credentials_and_certificates_are_told_without_the_secret(mail: Controller, certificate: tuple[Path, Path]) -> None:
    wrong = {"user": "gate", "password": "guessed"}
    with pytest.raises(RunFailedError, match="535") as refused:
        run_component(EmailSink, [{"name": "a", "n": 1}], params(mail), {"ca": certificate[1]}, secrets=wrong)
    assert "guessed" not in str(refused.value)
    with pytest.raises(RejectedError, match="self-signed certificate"):
        bound(EmailSink, params(mail), KEYS).probe()
    with pytest.raises(UnreachableError, match="Connection refused"):
        bound(EmailSink, params(mail, starttls=False) | {"server": "smtp://127.0.0.1:9"}, KEYS).probe()
    with pytest.raises(RejectedError, match="unknown field 'nothing'"):
        run_component(EmailSink, [{"name": "a", "n": 1}], params(mail, body="{nothing}"))
    with pytest.raises(ValueError, match="no mail address"):
        bound(EmailSink, params(mail, to=["a@b.example, c@d.example"]))


def test_an_outage_is_waited_out_or_given_up_and_mails_are_paced() -> None:
    late = Controller(Mailbox(), hostname="127.0.0.1", port=free_ports(1)[0])
    asked = params(late, starttls=False)
    with pytest.raises(RunFailedError, match="has not taken the mail within"):
        run_component(EmailSink, [{"name": "a", "n": 1}], {**asked, "give_up_after_s": 0.1})
    starting = threading.Timer(0.3, late.start)
    starting.start()
    started_s = time.monotonic()
    run_component(EmailSink, [{"name": "a", "n": n} for n in range(3)], {**asked, "max_per_minute": 300})
    starting.join()
    late.stop()
    assert [one["Subject"] for one in late.handler.mails] == ["a: 0", "a: 1", "a: 2"]
    assert time.monotonic() - started_s >= 0.4, "two pauses of a fifth of a second"
