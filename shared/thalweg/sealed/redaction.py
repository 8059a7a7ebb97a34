"""Removes secrets from text, bytes, nested values and log records, in every form in which they may appear."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

MIN_CHARACTERS = 4  # shorter ones would tear holes into everything
_MIN_BASE64 = 6  # of an unaligned piece, for the same reason
_MASKS = "*#•█▒░"
_URL_SAFE = str.maketrans("+/", "-_")
_MASK_LENGTH = 3
# What a record always has; anything else came with `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_pack, _unpack = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode


class Redactor:
    """Replaces secrets by a mask that tells nothing of their length.

    Found are the value itself, with and without surrounding white space, as base64 (of both alphabets, also within a longer
    encoded text such as `user:password`), URL-quoted, JSON-escaped, and as Python's `repr` shows it; a number that spells one too.
    Not found are values of fewer than 4 characters, and a secret that is cut, encrypted, compressed or hashed.

    Args:
        values: the secrets.
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value)}
        # A mask whose character no secret has cannot make a secret together with what stands beside it.
        character = next(one for one in (*_MASKS, *map(chr, range(0x2500, 0x3000))) if not any(one in form for form in forms))
        self._mask = character * _MASK_LENGTH
        self._forms = sorted(forms)
        self._encoded = [form.encode("utf-8", "surrogatepass") for form in self._forms]

    def text(self, text: str) -> str:
        """The text without secrets."""
        spans = _spans(text, self._forms)
        return _replaced(text, spans, self._mask) if spans else text

    def data(self, data: bytes) -> bytes:
        """The bytes without secrets, which are looked for as UTF-8."""
        spans = _spans(data, self._encoded)
        return _replaced(data, spans, self._mask.encode()) if spans else data

    def packed(self, data: bytes, *, numbers: bool = False) -> bytes:
        """A msgpack value without secrets; numbers that spell one stay, because of the value's type, unless `numbers`."""
        if numbers:
            return _pack(self.value(_unpack(data)))
        return _pack(self._texts(_unpack(data))) if any(form in data for form in self._encoded) else data

    def is_in(self, data: bytes) -> bool:
        """Whether bytes, as msgpack is, hold a secret as a text or as bytes; not one that is spelled by a number."""
        return any(form in data for form in self._encoded)

    def _texts(self, value: Any) -> Any:
        """As `value`, numbers left alone."""
        if isinstance(value, dict):
            return {self._texts(key): self._texts(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._texts(one) for one in value]
        return self.value(value) if isinstance(value, str | bytes) else value

    def value(self, value: Any) -> Any:
        """A JSON or msgpack value without secrets: strings, bytes, keys and numbers, through lists, tuples and dicts."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return self.data(bytes(value))
        if isinstance(value, dict):
            return {self.value(key): self.value(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            found = [self.value(one) for one in value]
            return tuple(found) if isinstance(value, tuple) else found
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = self.text(repr(value))
            return value if shown == repr(value) else shown
        return value

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms)"


class RedactingFilter(logging.Filter):
    """Redacts whole records: message and arguments, exception, stack, and what came with `extra`.

    Put it on handlers: a filter of a logger does not see the records of the loggers below it.

    Args:
        redactor: knows the secrets.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets every record through, redacted; the exception is text from then on."""
        redact = self._redactor
        try:
            message = record.getMessage()
        except Exception:  # as logging does: what cannot be formatted is not worth a crash
            message = f"{record.msg} {record.args!r}"
        record.msg, record.args = redact.text(message), None
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        record.exc_info = None
        for name in ("exc_text", "stack_info"):
            if text := getattr(record, name):
                setattr(record, name, redact.text(text))
        for name in vars(record).keys() - _STANDARD:
            setattr(record, name, _plain(redact, getattr(record, name)))
        return True


def _plain(redact: Redactor, value: Any) -> Any:
    """A redacted value; any other object as its redacted text when that shows a secret."""
    found = redact.value(value)
    shown = redact.text(repr(found))
    return found if shown == repr(found) else shown


def _forms(value: str) -> set[str]:
    """How a secret may be spelled; nothing for one that is too short."""
    found: set[str] = set()
    for plain in {value, value.strip()}:
        if len(plain) < MIN_CHARACTERS:
            continue
        raw = plain.encode("utf-8", "surrogatepass")
        quoted = {quote(raw), quote(raw, safe=""), quote_plus(raw)}
        escaped = {json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1], repr(plain)[1:-1], repr(raw)[2:-1]}
        found |= {plain, *quoted, *map(_lower_escapes, quoted), *escaped}
        found |= {alphabet for one in _base64_forms(raw) for alphabet in (one, one.translate(_URL_SAFE))}
    return found


def _lower_escapes(quoted: str) -> str:
    """URL-quoted text with `%2f` for `%2F`."""
    head, *rest = quoted.split("%")
    return "%".join([head, *(one[:2].lower() + one[2:] for one in rest)])


def _base64_forms(raw: bytes) -> set[str]:
    """Base64 of the bytes, with and without padding, and of what they make of it behind 0, 1 or 2 other bytes."""
    whole = base64.b64encode(raw).decode()
    found = {whole, whole.rstrip("=")}
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode()
        # The characters that depend on the bytes before or behind are left out.
        inner = encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(inner) >= _MIN_BASE64:
            found.add(inner)
    return found


def _spans(text: Any, forms: Any) -> list[tuple[int, int]]:
    """Where forms are, as sorted spans; those that overlap or touch are one, so that no part of a second secret stays."""
    found: list[tuple[int, int]] = []
    for form in forms:
        at = text.find(form)
        while at >= 0:
            found.append((at, at + len(form)))
            at = text.find(form, at + 1)
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _replaced(text: Any, spans: list[tuple[int, int]], mask: Any) -> Any:
    parts, at = [], 0
    for start, end in spans:
        parts += [text[at:start], mask]
        at = end
    return text[:0].join([*parts, text[at:]])
