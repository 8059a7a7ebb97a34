"""CEL over stream types: compiles an expression against the type of a record."""

from __future__ import annotations

import difflib
import re
from typing import Any

from cel_expr_python import cel

from thalweg import RecordError
from thalweg.errors import RejectedError
from thalweg.graph.types import (
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INT,
    JSON,
    STR,
    TIMESTAMP,
    ImageType,
    ListOf,
    MapOf,
    OptionalOf,
    Record,
    Scalar,
    StreamType,
    TableOf,
    format_type,
)
from thalweg_components.cel_fields import Fields, Getter, fields_of, may_be_null
from thalweg_components.cel_tokens import has_arithmetic, names, offset, promote, tests_null, with_floats, with_null_tests

_NULLABLE = "_nullable."  # before a field's name: the field as it is compared with null, of any type
_PROMOTIONS = 64  # more int operands than anyone writes; bounds the retries
_FAULT = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_OVERLOAD = re.compile(r"found no matching overload for '(.+)' applied to '\((.*)\)'")
_UNDECLARED = re.compile(r"undeclared reference to '([^']+)'")
_TO_CEL = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "float": cel.Type.DOUBLE,
    "str": cel.Type.STRING,
    "bytes": cel.Type.BYTES,
    "timestamp": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
}
_FROM_CEL: dict[str, StreamType] = {
    "BOOL": BOOL,
    "INT": INT,
    "UINT": INT,
    "DOUBLE": FLOAT,
    "STRING": STR,
    "BYTES": BYTES,
    "TIMESTAMP": TIMESTAMP,
    "DURATION": DURATION,
}


class CompiledExpression:
    """A CEL expression that was checked against a type.

    Attributes:
        source: as the author wrote it.
        type: stream type of its value.
    """

    def __init__(
        self,
        source: str,
        result: StreamType,
        read: dict[str, Getter],
        program: cel.Expression | None = None,
        direct: Getter | None = None,
        in_floats: cel.Expression | None = None,
    ) -> None:
        self.source, self.type = source, result
        self._read, self._program, self._direct, self._in_floats = list(read.items()), program, direct, in_floats
        self._is_bool = result in (BOOL, OptionalOf(BOOL))
        self._gives_null = isinstance(result, OptionalOf) or (result == JSON and not tests_null(source))

    def evaluate(self, record: Any) -> Any:
        """Value of the expression for one record; None where an operand is null. Pure; about 5 µs.

        Raises:
            RecordError: the expression has no value for this record (a division by zero, a missing key).
        """
        if self._direct is not None or self._program is None:
            return self._direct(record) if self._direct else None
        data = {name: read(record) for name, read in self._read}
        value = self._program.eval(data=data)
        plain = value.plain_value()
        if plain is True or plain is False:
            return plain
        if self._in_floats is not None and value.type() == cel.Type.ERROR and "No matching overloads" in str(plain):
            value = self._in_floats.eval(data={name: _as_float(one) for name, one in data.items()})
            plain = value.plain_value()
        if value.type() != cel.Type.ERROR and (not self._is_bool or isinstance(plain, bool)):
            return _from_cel_value(plain)
        nulls = [name.removeprefix(_NULLABLE) for name, one in data.items() if one is None]
        if self._gives_null and (nulls or "null_type" in str(plain)):
            return None
        hint = f"{nulls[0]} is null here: write {nulls[0]} != null && … to exclude that" if nulls else None
        raise RecordError(f"{self.source!r} has no value: {_runtime_reason(plain)}", hint=hint)


def compile_expression(
    source: str, record: StreamType, *, what: str = "expression", expect: StreamType | None = None
) -> CompiledExpression:
    """Checks `source` against the fields of `record` (or the variable `value` when it is no record).

    An int operand that meets a float one is promoted, as `int` goes into `float` on edges: `precipitation > 0` works. So is one of a
    `T?`. A null operand makes the value null, and the type `T?`, unless the expression mentions null itself.

    Args:
        what: name of the parameter, for the message.
        expect: the type that the value must have, or None for any.

    Raises:
        RejectedError: `expression.invalid`; one line that names the unknown field, function or operator.
    """
    if not source.strip():
        raise RejectedError(f"{what}: the expression is empty", code="expression.invalid")
    fields = fields_of(record)
    name = re.sub(r"\s+", "", source)
    if name in fields:
        compiled = CompiledExpression(source, fields[name].type, {}, direct=fields[name].take)
    else:
        compiled = _compile_program(source, fields, what)
    if expect is not None and compiled.type not in (expect, OptionalOf(expect), JSON):
        raise RejectedError(
            f"{what}: {source!r} is {format_type(compiled.type)}, not {format_type(expect)}",
            code="expression.invalid",
            hint="compare a field with a value, e.g. precipitation > 0" if expect == BOOL else None,
        )
    return compiled


def _compile_program(source: str, fields: Fields, what: str) -> CompiledExpression:
    nullable = {name for name, field in fields.items() if may_be_null(field.type)}
    read = {name: field.read for name, field in fields.items()} | {f"{_NULLABLE}{name}": fields[name].read for name in nullable}
    declared = {name: kind for name, field in fields.items() if (kind := _cel_type(field.type)) is not None}
    declared |= {f"{_NULLABLE}{name}": cel.Type.DYN for name in nullable}
    text, program = _compile_text(source, with_null_tests(source, nullable, _NULLABLE), declared, fields, what)
    used = names(text)
    read = {name: read[name] for name in declared if any(use == name or use.startswith(f"{name}.") for use in used)}
    result = _stream_type(program.return_type().name())
    in_floats = None
    if any(name in fields and fields[name].type in (JSON, OptionalOf(JSON)) for name in read):
        in_floats = _compile_in_floats(text, declared)
        result = FLOAT if result == INT and has_arithmetic(text) else result
    if result != JSON and not tests_null(source) and nullable & set(read):
        result = OptionalOf(result)
    return CompiledExpression(source, result, read, program, in_floats=in_floats)


def _compile_text(source: str, text: str, declared: dict[str, cel.Type], fields: Fields, what: str) -> tuple[str, cel.Expression]:
    """The text with ints promoted where they meet floats, compiled."""
    env = cel.NewEnv(variables=declared)
    for _ in range(_PROMOTIONS):
        try:
            return text, env.compile(text)
        except RuntimeError as error:
            faults = _FAULT.findall(str(error))
            changed = _promoted(text, faults)
            if changed is None:
                raise _rejection(text, source, faults, str(error), fields, what) from None
            text = changed
    raise RejectedError(f"{what}: {source!r} mixes int and float too often", code="expression.invalid", hint="write double(…) around ints")


def _compile_in_floats(text: str, declared: dict[str, cel.Type]) -> cel.Expression | None:
    """The expression with every number a float: for numbers inside json, which only show at run time what they are."""
    floats = {name: cel.Type.DOUBLE if kind == cel.Type.INT else kind for name, kind in declared.items()}
    try:
        return cel.NewEnv(variables=floats).compile(with_floats(text))
    except RuntimeError:
        return None


def _as_float(value: Any) -> Any:
    """The value with its ints as floats."""
    if isinstance(value, dict):
        return {key: _as_float(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_float(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _promoted(text: str, faults: list[tuple[str, str, str]]) -> str | None:
    for line, column, message in faults:
        overload = _OVERLOAD.match(message)
        if overload:
            changed = promote(text, offset(text, int(line), int(column)), [part.strip() for part in overload.group(2).split(",")])
            if changed is not None:
                return changed
    return None


def _rejection(text: str, source: str, faults: list[tuple[str, str, str]], whole: str, fields: Fields, what: str) -> RejectedError:
    known = f"known fields: {', '.join(fields)}" if fields else "the input has no fields"
    faults = sorted(faults, key=lambda fault: "undeclared" not in fault[2])
    line, column, message = faults[0] if faults else ("1", "1", whole.splitlines()[0])
    undeclared, overload = _UNDECLARED.match(message), _OVERLOAD.match(message)
    at = offset(text, int(line), int(column))
    if undeclared and text[at : at + 1] == "(":
        return RejectedError(f"{what}: unknown function '{undeclared.group(1)}' in {source!r}", code="expression.invalid")
    if undeclared:
        name = undeclared.group(1)
        close = difflib.get_close_matches(name, fields, n=1)
        near = f" (did you mean '{close[0]}'?)" if close else ""
        return RejectedError(f"{what}: unknown field '{name}'{near} in {source!r}", code="expression.invalid", hint=known)
    if overload:
        operator = overload.group(1).strip("_@")
        return RejectedError(
            f"{what}: '{operator}' does not take ({_friendly(overload.group(2))}) in {source!r}", code="expression.invalid", hint=known
        )
    reason = message.removeprefix("Syntax error: ").split(" expecting ")[0]
    return RejectedError(f"{what}: {reason} at character {at + 1} of {source!r}", code="expression.invalid", hint=known)


def _friendly(types: str) -> str:
    return (
        types.replace("double", "float")
        .replace("string", "str")
        .replace("google.protobuf.Timestamp", "timestamp")
        .replace("google.protobuf.Duration", "duration")
    )


def _cel_type(stream: StreamType) -> cel.Type | None:
    """CEL type of a stream type, or None for one that expressions cannot read as a whole."""
    if isinstance(stream, OptionalOf):
        return _cel_type(stream.item) or cel.Type.DYN
    if isinstance(stream, Scalar):
        return _TO_CEL.get(stream.name, cel.Type.DYN)
    if isinstance(stream, ListOf):
        return cel.Type.List(_cel_type(stream.item) or cel.Type.DYN)
    if isinstance(stream, MapOf):
        return cel.Type.Map(cel.Type.STRING, _cel_type(stream.value) or cel.Type.DYN)
    return None if isinstance(stream, (Record, ImageType, TableOf)) else cel.Type.DYN


def _stream_type(name: str) -> StreamType:
    """Stream type of a CEL type by its name, e.g. `LIST<INT>`; what CEL only knows at run time is json."""
    if name.startswith("LIST<"):
        return ListOf(_stream_type(name[5:-1]))
    if name.startswith("MAP<STRING, "):
        return MapOf(_stream_type(name[12:-1]))
    return _FROM_CEL.get(name, JSON)


def _from_cel_value(value: Any) -> Any:
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, list):
        return [_from_cel_value(item) for item in value]
    return {key: _from_cel_value(item) for key, item in value.items()} if isinstance(value, dict) else value


def _runtime_reason(plain: Any) -> str:
    return re.sub(r"^[A-Z_]+: ", "", str(plain))
