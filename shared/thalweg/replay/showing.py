"""Values of records for people: bounded, images by their size and digest, and where two of them differ."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import msgspec

MAX_TEXT, MAX_ITEMS = 200, 20
_IMAGE = {"format", "width", "height", "data"}


def plain(value: Any) -> Any:
    """A decoded value as JSON values of bounded size."""
    if is_image(value):
        return f"image {value['width']} x {value['height']} {value['format']}, {_told(value['data'])}"
    if isinstance(value, dict):
        items = [(str(key), plain(inner)) for key, inner in list(value.items())[:MAX_ITEMS]]
        return dict(items) | ({"…": f"{len(value) - MAX_ITEMS} more"} if len(value) > MAX_ITEMS else {})
    if isinstance(value, list | tuple):
        rest = [f"… {len(value) - MAX_ITEMS} more"] if len(value) > MAX_ITEMS else []
        return [plain(inner) for inner in value[:MAX_ITEMS]] + rest
    if isinstance(value, bytes):
        return _told(value)
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… {len(value):,} characters"
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def decode(packed: bytes) -> Any:
    """A value; bytes that are none are shown as such."""
    try:
        return msgspec.msgpack.decode(packed)
    except (msgspec.DecodeError, RecursionError):
        return packed


def is_image(value: Any) -> bool:
    """Whether it is an image as it travels."""
    return isinstance(value, dict) and value.keys() == _IMAGE and isinstance(value["data"], bytes)


def where_they_differ(before: Any, after: Any, path: str = "value") -> str | None:
    """The first place in two values at which they differ, with both; None where it says no more than the values themselves."""
    if is_image(before) and is_image(after):
        pixel = _pixel(before, after)
        return f"{path}: {pixel}" if pixel else None
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            if key not in before or key not in after:
                return f"{path}.{key}: {'was not there' if key in after else 'is missing'}"
            if before[key] != after[key]:
                return where_they_differ(before[key], after[key], f"{path}.{key}")
    if isinstance(before, list) and isinstance(after, list):
        for index, (one, other) in enumerate(zip(before, after, strict=False)):
            if one != other:
                return where_they_differ(one, other, f"{path}[{index}]")
        return f"{path}: {len(before):,} items, now {len(after):,}"
    return None if path == "value" else f"{path}: {plain(before)!r}, now {plain(after)!r}"


def _pixel(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """The first pixel that differs, decoded; None where that cannot be told, as the sizes differ or there is no codec here."""
    try:
        import numpy as np

        from thalweg.sdk.values import Image

        one, other = Image(**before).to_array(), Image(**after).to_array()
        if one.shape != other.shape:
            return None
        places = np.argwhere(one != other)
        if not len(places):
            return "the same pixels in other bytes"
        y, x = (int(number) for number in places[0][:2])
        return f"pixel ({x}, {y}) was {one[y, x].tolist()}, is {other[y, x].tolist()}"
    except Exception:  # a codec may refuse what a component has made in any way
        return None


def _told(data: bytes) -> str:
    return f"{len(data):,} bytes sha256:{sha256(data).hexdigest()[:16]}…"
