"""Values of records as arrays of a model, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg import RecordError
from thalweg.graph.types import ListOf, MapOf, StreamType, TensorType
from thalweg.sdk.records import Tensor
from thalweg_components.model_inputs import Input


def to_row(record: Any, given: Input) -> NDArray[Any]:
    """What one record gives to an input.

    Raises:
        RecordError: a value is null, out of the range of the input's dtype, or not of its shape.
    """
    values = [getattr(record, field) for field in given.fields] if given.fields else [record]
    for field, value in zip(given.fields or ("the record",), values, strict=True):
        if value is None:
            raise RecordError(f"{field} is null, and input {given.name!r} of the model takes no nulls")
    array = _array(values[0] if len(values) == 1 else values, given)
    if given.shape is not None and len(array.shape) < len(given.shape) and array.size == 1:
        array = array.reshape([1] * len(given.shape))
    if given.shape is not None and not _is_of(array.shape, given.shape):
        raise RecordError(f"input {given.name!r} of the model takes {_sizes(given.shape)}, this is {_sizes(array.shape)}")
    return array


def _array(value: Any, given: Input) -> NDArray[Any]:
    if isinstance(value, Tensor):
        return _from_tensor(value, given)
    if given.dtype == "str":
        return np.array(value, dtype=object)
    try:
        array = np.asarray(value)
        found = array.astype(given.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise RecordError(f"input {given.name!r} of the model takes {given.dtype}: {error}") from error
    if np.issubdtype(found.dtype, np.integer) and not np.array_equal(found, array):
        raise RecordError(f"input {given.name!r} of the model takes {given.dtype}, which does not hold {str(value)[:80]}")
    return found


def _from_tensor(value: Tensor, given: Input) -> NDArray[Any]:
    if value.dtype != given.dtype:
        raise RecordError(f"input {given.name!r} of the model takes {given.dtype}, this is a tensor of {value.dtype[:40]}")
    try:
        little = np.dtype(value.dtype).newbyteorder("<")
        return np.frombuffer(value.data, little).reshape(value.shape).astype(given.dtype)
    except (ValueError, TypeError) as error:
        raise RecordError(f"a tensor of {len(value.data)} bytes is not {value.dtype} of {_sizes(value.shape)}") from error


def _is_of(have: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(have) == len(wanted) and all(b in (a, None) for a, b in zip(have, wanted, strict=True))


def _sizes(shape: tuple[int | None, ...]) -> str:
    return "x".join("?" if size is None else str(size) for size in shape) or "one number"


def from_row(row: Any, kind: StreamType) -> Any:
    """What an output gave for one record, as a value of its type."""
    if isinstance(kind, MapOf):
        return {str(key): _plain(value) for key, value in row.items()}
    if isinstance(kind, TensorType):
        array = np.ascontiguousarray(row)
        return Tensor(array.dtype.name, array.shape, array.astype(array.dtype.newbyteorder("<")).tobytes())
    if isinstance(kind, ListOf):
        return [_plain(one) for one in np.asarray(row).tolist()]
    return _plain(np.asarray(row).reshape(-1)[0])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
