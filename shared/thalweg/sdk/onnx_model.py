"""ONNX models: the few protobuf fields that say what goes in and out, without the onnx package."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_MAX_TEXT_BYTES = 1 << 16
_MAX_SIZE = 2**63 - 1  # what is beyond is negative, and some exporters write -1 for a free size
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Source: onnx.proto3, ModelProto, GraphProto, ValueInfoProto, TypeProto.Tensor, TensorShapeProto.Dimension, TensorProto.DataType.
_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET = 1, 7, 8
_TYPE_TENSOR, _TYPE_SEQUENCE, _TYPE_MAP = 1, 4, 5
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _TENSOR_NAME = 5, 11, 12, 8
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    8: "str", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
SCALARS = {
    "bool": "bool", "str": "str", "float16": "float", "float32": "float", "float64": "float",
    **dict.fromkeys(("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"), "int"),
}  # of dtypes  # fmt: skip


class _Field(NamedTuple):
    number: int
    value: int  # of a varint
    start: int  # of the content, and where it ends
    end: int


def describe_model(path: Path) -> dict[str, dict[str, str]]:
    """Inputs (without initializers) and outputs, each name with its stream type; weights are never read.

    A sequence of maps, which classifiers give, is `list[map[T]]`; what no stream type says is `unsupported`.

    Raises:
        ValueError: the file is no protobuf ModelProto with an IR version, operator sets and a graph with outputs.
    """
    with path.open("rb") as stream:
        return _describe(stream, os.fstat(stream.fileno()).st_size)


def _describe(stream: BinaryIO, size_bytes: int) -> dict[str, dict[str, str]]:
    model = {field.number: field for field in _fields(stream, 0, size_bytes)}
    if not {_MODEL_IR, _MODEL_GRAPH, _MODEL_OPSET} <= model.keys():
        raise ValueError("it lacks an IR version, operator sets or a graph")
    inputs, outputs, initializers = dict[str, str](), dict[str, str](), set[str]()
    for field in _fields(stream, model[_MODEL_GRAPH].start, model[_MODEL_GRAPH].end):
        if field.number == _GRAPH_INPUT:
            inputs.update([_value_info(stream, field)])
        elif field.number == _GRAPH_OUTPUT:
            outputs.update([_value_info(stream, field)])
        elif field.number == _GRAPH_INITIALIZER:
            initializers |= {_text(stream, one) for one in _fields(stream, field.start, field.end) if one.number == _TENSOR_NAME}
    if not outputs:
        raise ValueError("its graph has no outputs")
    return {"inputs": {name: kind for name, kind in inputs.items() if name not in initializers}, "outputs": outputs}


def _value_info(stream: BinaryIO, info: _Field) -> tuple[str, str]:
    name, kind = "", "unsupported"
    for field in _fields(stream, info.start, info.end):
        if field.number == 1:
            name = _text(stream, field)
        elif field.number == 2:
            kind = _type(stream, field, 0)
    return name, kind


def _type(stream: BinaryIO, kind: _Field, depth: int) -> str:
    for field in _fields(stream, kind.start, kind.end):
        if field.number == _TYPE_TENSOR:
            return _tensor(stream, field)
        if field.number == _TYPE_SEQUENCE and depth == 0:
            parts = [_type(stream, one, depth + 1) for one in _fields(stream, field.start, field.end) if one.number == 1]
            return f"list[{parts[0]}]" if parts and parts[0].startswith("map[") else "unsupported"
        if field.number == _TYPE_MAP:
            values = [_type(stream, one, depth + 1) for one in _fields(stream, field.start, field.end) if one.number == 2]
            scalar = SCALARS.get(values[0].removeprefix("tensor<").partition(",")[0]) if values else None
            return f"map[{scalar}]" if scalar else "unsupported"
    return "unsupported"


def _tensor(stream: BinaryIO, tensor: _Field) -> str:
    """A tensor type as streams spell it: sizes that are not fixed are `?`."""
    dtype, shape = "?", "*"
    for field in _fields(stream, tensor.start, tensor.end):
        if field.number == 1:
            dtype = _DTYPES.get(field.value, "?")
        elif field.number == 2:
            shape = "x".join(_dimension(stream, one) for one in _fields(stream, field.start, field.end) if one.number == 1)
    return f"tensor<{dtype},{shape}>"


def _dimension(stream: BinaryIO, dimension: _Field) -> str:
    sizes = [one.value for one in _fields(stream, dimension.start, dimension.end) if one.number == 1]
    return str(sizes[0]) if sizes and sizes[0] <= _MAX_SIZE else "?"


def _text(stream: BinaryIO, field: _Field) -> str:
    if field.end - field.start > _MAX_TEXT_BYTES:
        raise ValueError("a name is too long")
    stream.seek(field.start)
    return stream.read(field.end - field.start).decode()


def _fields(stream: BinaryIO, start: int, end: int) -> Iterator[_Field]:
    """The fields of a message, contents skipped: weights are never read. Raises ValueError on what is no protobuf."""
    at = start
    while at < end:
        key, at = _varint(stream, at, end)
        value, wire, content = 0, key & 7, at
        if wire == _VARINT:
            value, at = _varint(stream, at, end)
        elif wire == _BYTES:
            length, content = _varint(stream, at, end)
            at = content + length
        elif wire in (_FIXED32, _FIXED64):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if key >> 3 == 0 or at > end:
            raise ValueError(f"a field ends outside its message at byte {content}")
        yield _Field(key >> 3, value, content, at)


def _varint(stream: BinaryIO, at: int, end: int) -> tuple[int, int]:
    stream.seek(at)
    value = 0
    for index, byte in enumerate(stream.read(min(10, end - at))):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise ValueError(f"no number at byte {at}")
