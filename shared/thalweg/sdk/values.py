"""What component authors handle beside their own records: images, audio, source positions, emissions, files, secrets, data faults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from thalweg.errors import RunFailedError
from thalweg.graph.types import AudioType, ImageType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")


class Image(msgspec.Struct, frozen=True):
    """An image as it travels: encoded bytes (`jpeg`, `png`) or raw rows (`bgr8`: H x W x 3, `gray8`: H x W; uint8, no padding)."""

    __stream_type__: ClassVar[ImageType] = ImageType(None)
    format: str
    width: int
    height: int
    data: bytes

    @classmethod
    def from_array(cls, array: NDArray[np.uint8], format: str = "jpeg", quality: int = 90) -> Image:
        """Encodes pixels.

        Args:
            array: uint8, H x W x 3 in BGR order, or H x W.
            format: `jpeg`, `png`, `bgr8` or `gray8`.
            quality: of JPEG, 1 to 100.
        """
        from thalweg.sdk.pixels import encode

        return encode(cls, array, format, quality)

    def to_array(self) -> NDArray[np.uint8]:
        """Pixels as uint8, H x W x 3 in BGR order (H x W for `gray8`). Raises RecordError when the bytes do not decode."""
        from thalweg.sdk.pixels import decode

        return decode(self)


class Audio(msgspec.Struct, frozen=True):
    """A piece of audio: `pcm16` (little endian, interleaved) or another named format."""

    __stream_type__: ClassVar[AudioType] = AudioType(None, None)
    format: str
    rate: int
    channels: int
    data: bytes


class At(msgspec.Struct, Generic[T], gc=False):
    """A record of a source, with the cursor that says where to go on after it.

    Args:
        value: the record.
        cursor: any msgpack value; given back to the source when it restarts.
        time_ns: event time, UTC ns; None is the record's ordinal.
    """

    value: T
    cursor: Any
    time_ns: int | None = None


class Bad(msgspec.Struct, gc=False):
    """A faulty piece of a source's input: the vertex's `on_error` decides whether it stops the run or becomes a dead letter.

    Args:
        error: what is wrong, and where.
        raw: the piece itself, as text or bytes, for the dead letter.
        cursor: where to go on after it.
    """

    error: RecordError
    raw: str | bytes
    cursor: Any


class Emit(msgspec.Struct, Generic[T], gc=False):
    """A record for a named port, or with an event time of its own (default: that of the record it comes from)."""

    value: T
    time_ns: int | None = None
    port: str = "out"


class Receipt(msgspec.Struct):
    """What a sink has delivered: the proof, committed under the id of its record. A component that returns it is a sink.

    Args:
        target: who took it, as people would name it, without credentials: `mqtt://broker:1883/alarms`.
        reference: what the target calls it: a message id, an offset, a row; empty where it says nothing.
        attempts: how often it was sent until it was taken.
    """

    target: str
    reference: str = ""
    attempts: int = 1


class Place(NamedTuple):
    """Where a record of an input stands on the deployment log; places of one edge only rise, over all restarts.

    Attributes:
        edge: by which it came.
        sequence: of the message that has it.
        offset: among the records of the message.
        fell_to: names of the retired partitions of the vertex to which the record fell: one of them may have delivered it.
    """

    edge: str
    sequence: int
    offset: int
    fell_to: tuple[str, ...] = ()


class Recorded(msgspec.Struct, gc=False):
    """Records of a source that are passed on as another run has written them, those of one commit: for sources that replay a log.

    Args:
        batches: by output port: encoded values, event times (UTC ns), trace ids and progress times of one length.
        promised: progress time below which nothing follows; None where nothing is said.
        cursor: where to go on after them.
    """

    batches: list[tuple[str, list[bytes], list[int], list[int], list[int]]]
    promised: int | None
    cursor: Any


class InputFile:
    """A bound input file: `path` is a local copy (a directory for directory types)."""

    def __init__(self, path: Path) -> None:
        self.path = path


class GeneratedFile:
    """A file that a component leaves: write `path` from the first record on; complete on disk when `finish` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path


class Secret:
    """A bound secret. Only `reveal` gives its value: it shows nowhere else, neither in messages nor in logs."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value; hand it to what needs it, and keep it nowhere."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"


class RecordError(RunFailedError):
    """A record, row or frame is not what it should be.

    Args:
        message: what is wrong.
        where: position a person can look up: "row 17345, column wind".
        hint: what would help.
    """

    def __init__(self, message: str, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(f"{where}: {message}" if where else message, code="data.invalid", hint=hint)
        self.where = where
