"""The page that sends a browser's camera into an endpoint. It is the same for all, and shows nothing to who has no token."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from starlette.responses import HTMLResponse, Response

_PAGE = Path(__file__).with_name("cam.html").read_text(encoding="utf-8")


def _hash_of(tag: str) -> str:
    """How a policy names an element that is written in the page itself."""
    (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", _PAGE, re.DOTALL)
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


_HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash_of('script')}",
            f"style-src {_hash_of('style')}",
            "connect-src 'self'",
            "img-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "Permissions-Policy": "camera=(self), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def camera_page() -> Response:
    """The page; nothing in it comes from elsewhere, and it talks to nobody but this gateway."""
    return HTMLResponse(_PAGE, headers=_HEADERS)
