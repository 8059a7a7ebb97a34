"""A secret does not survive in any form, and nothing else is touched."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any
from urllib.parse import quote, quote_plus

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.sealed.redaction import RedactingFilter, Redactor

SECRET = 'pa/ss "w+ö\nrd'
SECRETS = st.text(min_size=4, max_size=40).filter(
    lambda one: (len(one.strip()) >= 4 and one.isprintable()) or ("\n" in one and len(one.strip()) >= 4)
)
AROUND = st.text(alphabet="xyz .", max_size=10)


def spellings(secret: str) -> dict[str, str]:
    """Forms of a secret as others would make them."""
    raw = secret.encode()
    return {
        "plain": secret,
        "json": json.dumps({"k": secret}),
        "json, not ASCII": json.dumps({"k": secret}, ensure_ascii=False),
        "quoted": quote(secret),
        "quoted all": quote(secret, safe=""),
        "form": quote_plus(secret),
        "base64": base64.b64encode(raw).decode(),
        "base64, URL": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "repr": repr(secret),
        "repr of bytes": repr(raw),
    }


@given(SECRETS, AROUND, AROUND)
def test_no_spelling_survives(secret: str, before: str, behind: str) -> None:
    redactor = Redactor([secret])
    for name, spelled in spellings(secret).items():
        found = redactor.text(before + spelled + behind)
        inner = spelled.strip("'\"") if name.startswith("repr") else spelled
        assert inner not in found, name
        assert secret not in found
        assert spelled.encode() not in redactor.data((before + spelled + behind).encode())


@given(SECRETS, st.text(min_size=2, max_size=12), st.text(max_size=12))
def test_a_secret_within_a_longer_base64_does_not_survive(secret: str, before: str, behind: str) -> None:
    if len(secret.encode()) < 8:
        return
    encoded = base64.b64encode(f"{before}{secret}{behind}".encode()).decode()
    assert Redactor([secret]).text(f"Basic {encoded}") != f"Basic {encoded}"


@given(st.text(alphabet="abc123 \n", max_size=60))
def test_other_text_is_not_changed(text: str) -> None:
    redactor = Redactor(["Pl4nted-s3cret"])
    assert redactor.text(text) == text
    assert redactor.data(text.encode()) == text.encode()
    assert redactor.text(f"{text}Pl4nted-s3cret{text}") == f"{text}***{text}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | st.text(alphabet="abc", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="abc", max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(JSON)
def test_nested_values_keep_all_but_the_secret(value: Any) -> None:
    redactor = Redactor([SECRET, "81726354"])
    assert redactor.value(value) == value
    planted = {"a": [value, SECRET, SECRET.encode(), 81726354, True], SECRET: value}
    assert redactor.value(planted) == {"a": [value, "***", b"***", "***", True], "***": value}
    packed, shown = msgpack.packb(redactor.value(planted)), json.dumps(redactor.value({"a": [SECRET, 81726354]}))
    assert SECRET.encode() not in packed and SECRET not in shown and "81726354" not in shown


def test_overlapping_secrets_leave_no_rest() -> None:
    assert Redactor(["abcdef", "defghi", "abcd"]).text("-abcdefghi-") == "-***-"


def test_the_mask_never_makes_a_secret_again() -> None:
    redactor = Redactor(["a***b", "####"])
    assert redactor.text("aa***bb") == "a•••b"


def test_short_values_are_left_alone() -> None:
    assert Redactor(["abc", "", "  a "]).text("abc") == "abc"


def test_a_value_with_a_line_break_at_its_end_is_found_without() -> None:
    assert Redactor(["token-1\n"]).text("is token-1.") == "is ***."


def test_a_redactor_does_not_show_secrets() -> None:
    assert "planted" not in repr(Redactor(["planted"]))


def logged(log: Any) -> str:
    """What a handler with the filter writes, and all that the record holds."""
    out: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            out.append(self.format(record) + repr(vars(record)))

    handler, logger = Keep(), logging.Logger("test")
    handler.addFilter(RedactingFilter(Redactor(["planted"])))
    logger.addHandler(handler)
    log(logger)
    return "".join(out)


def test_a_log_record_is_redacted_whole() -> None:
    def fail(logger: logging.Logger) -> None:
        try:
            raise ValueError("planted in an error")
        except ValueError:
            logger.exception("planted %s %r", "planted", {"k": "planted"}, extra={"more": {"a": ["planted"]}}, stack_info=True)

    found = logged(fail)
    assert "planted" not in found
    assert "ValueError: *** in an error" in found
    assert "'more': {'a': ['***']}" in found


@pytest.mark.parametrize("message", ["%s %s", "%d"])
def test_a_record_that_cannot_be_formatted_is_redacted_too(message: str) -> None:
    found = logged(lambda logger: logger.warning(message, "planted"))
    assert "planted" not in found and "***" in found


def test_an_object_that_shows_a_secret_is_logged_as_text() -> None:
    class Held:
        def __repr__(self) -> str:
            return "Held(planted)"

    assert "'more': 'Held(***)'" in logged(lambda logger: logger.warning("x", extra={"more": Held()}))
