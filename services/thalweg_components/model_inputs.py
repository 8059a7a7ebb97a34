"""What a model's inputs take out of a record, and what its outputs become: planned from types alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from thalweg.errors import RejectedError
from thalweg.graph.parse import parse_type
from thalweg.graph.types import (
    BOOL,
    FLOAT,
    INT,
    STR,
    ImageType,
    ListOf,
    MapOf,
    OptionalOf,
    Record,
    StreamType,
    TensorType,
    format_type,
)
from thalweg.sdk.onnx_model import SCALARS

Shape = tuple[int | None, ...]
_KINDS = {"bool": BOOL, "int": INT, "float": FLOAT, "str": STR}
_TAKEN = {"bool": (BOOL,), "int": (INT,), "float": (INT, FLOAT), "str": (STR,)}


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a model, and where its values come from.

    Attributes:
        name: as the model has it.
        dtype: numpy's name.
        shape: of what one record gives; None where the model does not say.
        fields: of the record; none: the record itself.
        is_image: whether an image is turned into the array.
    """

    name: str
    dtype: str
    shape: Shape | None
    fields: tuple[str, ...]
    is_image: bool


def tensor_of(name: str, text: str) -> TensorType:
    """A tensor among the model's inputs or outputs.

    Raises:
        RejectedError: `file.invalid`, when it is something else, or of a dtype that numpy does not have.
    """
    kind = None if text == "unsupported" else parse_type(text)
    if not isinstance(kind, TensorType) or kind.dtype not in SCALARS:
        raise RejectedError(f"model: {name!r} is {text}, which no record can hold", code="file.invalid")
    return kind


def row_shape(kind: TensorType, batched: bool) -> Shape | None:
    """The shape of one record's share."""
    if kind.shape is None or not batched:
        return kind.shape
    return kind.shape[1:]


def plan_input(name: str, text: str, batched: bool, source: StreamType, wanted: str | list[str] | None) -> Input:
    """Where an input's values come from.

    Args:
        name: of the model's input.
        text: its type.
        batched: whether its first dimension counts records.
        source: type of the records.
        wanted: the field or fields that the author names; None: the record itself, or the field of the input's name.

    Raises:
        RejectedError: `type.unsupported` or `params.invalid`, with the input's name, when nothing fits.
    """
    kind = tensor_of(name, text)
    shape = row_shape(kind, batched)
    if batched and kind.shape == ():
        raise RejectedError(f"input {name!r} of the model has no dimension that counts records", code="params.invalid", hint=_BATCH_HINT)
    fields = _fields_of(name, source, wanted)
    found = [_base(dict(source.fields)[one]) for one in fields] if isinstance(source, Record) else [_base(source)]
    is_image = len(found) == 1 and isinstance(found[0], ImageType)
    given = Input(name, str(kind.dtype), shape, fields, is_image)
    for field, one in zip(fields or ("the record",), found, strict=True):
        if not _fits(one, given):
            wants, where = format_type(TensorType(kind.dtype, shape)), f"field {field}" if fields else field
            raise RejectedError(
                f"input {name!r} of the model takes {wants} of each record, {where} is {format_type(one)}",
                code="type.unsupported",
                hint=None if wanted else f"inputs: {{{name}: FIELD}} says which field it takes, or [FIELD, …] which numbers",
            )
    if len(fields) > 1 and shape is not None and shape != (None,) and shape != (len(fields),):
        raise RejectedError(f"input {name!r} of the model takes {_shown(shape)}, not {len(fields)} fields", code="params.invalid")
    return given


_BATCH_HINT = "batch_axis: false, for models that take one record at a time"


def _fields_of(name: str, source: StreamType, wanted: str | list[str] | None) -> tuple[str, ...]:
    if not isinstance(source, Record):
        if wanted is not None:
            raise RejectedError(f"inputs.{name}: {format_type(source)} has no fields", code="params.invalid")
        return ()
    fields = (name,) if wanted is None else (wanted,) if isinstance(wanted, str) else tuple(wanted)
    for one in fields:
        if one not in dict(source.fields):
            known = ", ".join(field for field, _ in source.fields)
            hint = f"inputs: {{{name}: FIELD}} or {{{name}: [FIELD, …]}}; the record has {known}"
            raise RejectedError(f"input {name!r} of the model: the record has no field {one!r}", code="params.invalid", hint=hint)
    return fields


def _base(kind: StreamType) -> StreamType:
    return kind.item if isinstance(kind, OptionalOf) else kind


def _fits(kind: StreamType, given: Input) -> bool:
    rank = None if given.shape is None else len(given.shape)
    if len(given.fields) > 1:
        return kind in _TAKEN[SCALARS[given.dtype]]
    if isinstance(kind, ImageType):
        return rank in (3, None) and SCALARS[given.dtype] in ("int", "float")
    if isinstance(kind, TensorType):
        return kind.dtype in (None, given.dtype) and _shapes_fit(kind.shape, given.shape)
    depth = 0
    while isinstance(kind, ListOf):
        kind, depth = kind.item, depth + 1
    is_one = depth == 0 and all(size in (1, None) for size in given.shape or ())
    return kind in _TAKEN[SCALARS[given.dtype]] and (rank in (depth, None) or is_one)


def _shapes_fit(have: Shape | None, wanted: Shape | None) -> bool:
    if have is None or wanted is None:
        return True
    return len(have) == len(wanted) and all(None in (a, b) or a == b for a, b in zip(have, wanted, strict=True))


def _shown(shape: Shape) -> str:
    return "x".join("?" if size is None else str(size) for size in shape) or "one number"


def plan_output(name: str, text: str, batched: bool) -> StreamType:
    """Type of what an output gives for one record: a number, a list, a tensor, or a map of a classifier's labels.

    Raises:
        RejectedError: `file.invalid`, when no record can hold it.
    """
    kind = None if text == "unsupported" else parse_type(text)
    if isinstance(kind, ListOf | MapOf) and isinstance(kind, ListOf) == batched:
        return kind.item if isinstance(kind, ListOf) else kind
    tensor = tensor_of(name, text)
    shape, scalar = row_shape(tensor, batched), _KINDS[SCALARS[str(tensor.dtype)]]
    if shape in ((), (1,)):
        return scalar
    if shape is not None and len(shape) == 1:
        return ListOf(scalar)
    if scalar == STR:
        raise RejectedError(f"model: output {name!r} is {text}; texts can only be single ones or lists", code="file.invalid")
    return TensorType(tensor.dtype, shape)


def rows_of(shapes: Mapping[str, str]) -> int | None:
    """How many records each run of the model takes; None where that is free.

    Raises:
        RejectedError: `file.invalid`, when its inputs disagree.
    """
    found = set()
    for name, text in shapes.items():
        shape = tensor_of(name, text).shape
        found.add(shape[0] if shape else None)
    fixed = found - {None}
    if len(fixed) > 1:
        raise RejectedError(f"model: its inputs take {sorted(map(str, fixed))} records a run", code="file.invalid", hint=_BATCH_HINT)
    return next(iter(fixed), None)
