"""Reads the records in a request's body, by its content type; each as canonical msgpack, or refused with path and reason."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from email.message import Message
from typing import Any, TypeVar

import msgspec
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from thalweg.graph import types as st
from thalweg.sdk.outside import MisfitError, Outside, UnreadableError
from thalweg_gateway.media import IMAGE_FORMATS, PCM_TYPES, WAV_TYPES, read_image, read_pcm, read_wav
from thalweg_gateway.refusals import RequestError

JSON_TYPES = frozenset({"application/json", "text/json", ""})
LINES_TYPES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
MSGPACK_TYPES = frozenset({"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"})
MAX_RECORDS, MAX_PARTS = 10_000, 1000
_json_items = msgspec.json.Decoder(list[msgspec.Raw])
_packed_items = msgspec.msgpack.Decoder(list[msgspec.Raw])
_any_json = msgspec.json.Decoder()
P = TypeVar("P")


async def collect(chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """A body of at most so many bytes; no more than these are ever held.

    Raises:
        RequestError: `body.too_large`.
    """
    found = bytearray()
    async for chunk in chunks:
        found += chunk
        if len(found) > max_bytes:
            raise too_large(max_bytes)
    return bytes(found)


def too_large(max_bytes: int) -> RequestError:
    """What is said of a body that is."""
    return RequestError(f"more than {max_bytes:,} bytes", code="body.too_large", max_bytes=max_bytes)


def parse_content_type(text: str) -> tuple[str, dict[str, str]]:
    """A content type in lower case, and its parameters."""
    header = Message()
    header["content-type"] = text[:1000] or "application/json"
    kind = header["content-type"].partition(";")[0].strip().lower()  # not get_content_type: to that, nonsense is text/plain
    return kind, {name.lower(): value for name, value in (header.get_params() or [])[1:]}


async def read_records(headers: Mapping[str, str], body: bytes, outside: Outside) -> list[bytes]:
    """All records of a body, as canonical msgpack.

    Raises:
        RequestError: `body.type_unknown`, `body.unreadable`, `record.misfit` with `path`, `reason` and, of several, `index`.
    """
    given = headers.get("content-type", "")
    content_type, options = parse_content_type(given)
    if content_type == "multipart/form-data":
        return await _read_multipart(headers, body, outside)
    if content_type in JSON_TYPES:
        return _read_all(_json_records(body, outside), outside.from_json)
    if content_type in MSGPACK_TYPES:
        return _read_all(_packed_records(body, outside), outside.from_msgpack)
    if content_type in LINES_TYPES:
        return _read_all([line for line in body.split(b"\n") if line.strip()], outside.from_json)
    if outside.stream_type == st.BYTES:  # whatever they are said to be
        return _read_all([body], outside.from_value)
    value = _single(content_type, options, body)
    return _read_all([value], lambda make: outside.from_value(make()))


def _read_all(pieces: Sequence[P], read: Callable[[P], bytes]) -> list[bytes]:
    if len(pieces) > MAX_RECORDS:
        raise RequestError(f"{len(pieces):,} records; {MAX_RECORDS:,} are taken at once", code="body.too_large")
    found: list[bytes] = []
    for index, piece in enumerate(pieces):
        where: dict[str, Any] = {"index": index} if len(pieces) > 1 else {}
        try:
            found.append(read(piece))
        except MisfitError as error:
            raise RequestError(str(error), code=error.code, path=error.path, reason=error.reason, **where) from error
        except UnreadableError as error:
            raise RequestError(str(error), code=error.code, **where) from error
    return found


def takes_lists(kind: st.StreamType) -> bool:
    """Whether a value of the type may be a list, so that a list is one record and not many."""
    match kind:
        case st.ListOf() | st.TupleOf() | st.TableOf() | st.Variable() | st.Scalar("json"):
            return True
        case st.OptionalOf(item):
            return takes_lists(item)
        case st.UnionOf(options):
            return any(map(takes_lists, options))
    return False


def _json_records(body: bytes, outside: Outside) -> list[bytes]:
    if takes_lists(outside.stream_type) or not body.lstrip(b" \t\r\n").startswith(b"["):
        return [body]
    try:
        return [bytes(one) for one in _json_items.decode(body)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError(f"this is not JSON: {error}", code="body.unreadable") from error


def _packed_records(body: bytes, outside: Outside) -> list[bytes]:
    first = body[0] if body else 0
    if takes_lists(outside.stream_type) or not (0x90 <= first <= 0x9F or first in (0xDC, 0xDD)):
        return [body]
    try:
        return [bytes(one) for one in _packed_items.decode(body)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise RequestError(f"this is not msgpack: {error}", code="body.unreadable") from error


def _single(content_type: str, options: Mapping[str, str], body: bytes) -> Callable[[], Any]:
    """How a body of another content type becomes one value."""
    if content_type in IMAGE_FORMATS:
        return lambda: read_image(body, IMAGE_FORMATS[content_type])
    if content_type in WAV_TYPES:
        return lambda: read_wav(body)
    if content_type in PCM_TYPES:
        return lambda: read_pcm(body, content_type, options)
    if content_type == "text/plain":
        return lambda: _text(body)
    if content_type == "application/octet-stream":
        return lambda: body
    hint = (
        "taken are application/json, application/x-ndjson, application/msgpack, image/jpeg, image/png, audio/wav, audio/pcm, text/plain, "
        "application/octet-stream and multipart/form-data"
    )
    raise RequestError(f"content type {content_type} is not known here", code="body.type_unknown", hint=hint)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UnreadableError(f"this is not UTF-8 text: {error}") from error


async def _read_multipart(headers: Mapping[str, str], body: bytes, outside: Outside) -> list[bytes]:
    """Of a record, the parts are its fields; of any other type, each part is a value."""

    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    try:
        parser = MultiPartParser(Headers(dict(headers)), once(), max_files=MAX_PARTS, max_fields=MAX_PARTS, max_part_size=len(body))
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise RequestError(f"this is no form: {error}", code="body.unreadable") from error
    try:
        kind = outside.stream_type
        fields = dict(kind.fields) if isinstance(kind, st.Record) else None
        if fields is None:
            values = [await _part(part, kind) for _, part in form.multi_items()]
        else:
            values = [{name: await _part(part, fields.get(name, st.JSON)) for name, part in form.multi_items()}]
    except UnreadableError as error:
        raise RequestError(str(error), code=error.code) from error
    finally:
        await form.close()
    return _read_all(values, outside.from_value)


async def _part(part: UploadFile | str, kind: st.StreamType) -> Any:
    """The value of one part: a file by its content type, text as text where that is wanted, else as JSON."""
    if isinstance(kind, st.OptionalOf):
        kind = kind.item
    if isinstance(part, str):
        if kind == st.STR:
            return part
        try:
            return _any_json.decode(part.encode())
        except msgspec.DecodeError:
            return part
    data = await part.read()
    if kind == st.BYTES:
        return data
    content_type, options = parse_content_type(part.content_type or "application/octet-stream")
    if isinstance(kind, st.ImageType) and content_type not in IMAGE_FORMATS:
        content_type = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    if content_type in JSON_TYPES:
        try:
            return _any_json.decode(data)
        except msgspec.DecodeError as error:
            raise UnreadableError(f"this is not JSON: {error}") from error
    try:
        return _single(content_type, options, data)()
    except RequestError:  # any other file is its bytes
        return data
