"""What a process is let in by, and knows the server by: credentials, and the authority behind the server's certificate."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from thalweg.errors import RejectedError

if TYPE_CHECKING:
    from thalweg.access.credentials import Credentials
    from thalweg.settings import Settings

MAX_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Access:
    """Credentials and an authority, each as a file, a text or not at all.

    Attributes:
        path: of a file of credentials, which is read again for every connection: it may be replaced meanwhile.
        text: of such a file, which goes before the path.
        ca_path, ca_text: certificates (PEM) of authorities that may vouch for the server; None for those of the machine.
    """

    path: Path | None = None
    text: str | None = field(default=None, repr=False)
    ca_path: Path | None = None
    ca_text: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Of a service or a command."""
        return cls(settings.nats_creds, None, settings.nats_ca)

    def credentials(self) -> Credentials | None:
        """Read now; None where there are none. Blocking, for a small file. Raises RejectedError as `Credentials.load`."""
        if self.text is None and self.path is None:
            return None
        from thalweg.access.credentials import Credentials  # loads cryptography

        if self.text is not None:
            return Credentials.parse(self.text)
        assert self.path is not None
        return Credentials.load(self.path)

    @property
    def demands_tls(self) -> bool:
        """Whether an authority is given, so that a server without TLS is not spoken to."""
        return self.ca_path is not None or self.ca_text is not None

    def tls(self) -> ssl.SSLContext:
        """How the server is checked. Blocking. Raises RejectedError (`ca.unreadable`)."""
        try:
            found = ssl.create_default_context(cafile=self.ca_path, cadata=self.ca_text)
        except (OSError, ssl.SSLError) as error:
            what = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "no certificates in it"
            raise RejectedError(f"{self.ca_path or 'the given authority'}: {what}", code="ca.unreadable") from error
        found.minimum_version = ssl.TLSVersion.TLSv1_2
        return found

    def handed_over(self, text: str | None) -> Self:
        """The same authority and other credentials, by value, for a process that may have none of the files.

        Raises:
            RejectedError: `ca.unreadable`.
        """
        try:
            authority = self.ca_path.read_text() if self.ca_path is not None else self.ca_text
        except (OSError, UnicodeDecodeError) as error:
            raise RejectedError(f"{self.ca_path}: it cannot be read", code="ca.unreadable") from error
        return type(self)(None, text, None, authority)

    def line(self) -> str:
        """Texts as one line of JSON, for `of_line`."""
        return json.dumps({"credentials": self.text, "ca": self.ca_text})

    @classmethod
    def of_line(cls, line: str) -> Self:
        """Raises RejectedError (`credentials.undelivered`)."""
        try:
            found = json.loads(line)
            text, authority = (str(found[name]) if found[name] is not None else None for name in ("credentials", "ca"))
        except (ValueError, KeyError, TypeError):
            raise RejectedError("the credentials have not come", code="credentials.undelivered") from None
        return cls(None, text, None, authority)


NO_ACCESS = Access()
