"""The `process` function of a file of a user's own: its types as far as they can be read without running it, and running it."""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from thalweg import RecordError
from thalweg.errors import RejectedError
from thalweg.graph.types import BOOL, BYTES, DURATION, FLOAT, INT, JSON, STR, TIMESTAMP, ListOf, MapOf, OptionalOf, Record, StreamType

FUNCTION = "process"
MAX_CODE_BYTES = 1024 * 1024
_MAX_DEPTH, _MAX_NODES = 32, 10_000  # of annotations: classes that name one another many times over make huge types
_NAMES: dict[str, StreamType] = {
    "bool": BOOL,
    "int": INT,
    "float": FLOAT,
    "str": STR,
    "bytes": BYTES,
    "datetime": TIMESTAMP,
    "datetime.datetime": TIMESTAMP,
    "timedelta": DURATION,
    "datetime.timedelta": DURATION,
    "Any": JSON,
}
_STREAMS = ("Iterator", "Iterable", "Generator")


class PythonCode:
    """A parsed file.

    Args:
        source: its bytes.

    Raises:
        RejectedError: `file.invalid`, when it is no Python, or has no plain function `process`.
    """

    def __init__(self, source: bytes) -> None:
        if len(source) > MAX_CODE_BYTES:
            raise RejectedError(f"code: the file has {len(source)} bytes; {MAX_CODE_BYTES} are allowed", code="file.invalid")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
            raise RejectedError(f"code: the file is no Python: {line}", code="file.invalid") from None
        self._source, self._left = source, _MAX_NODES
        self._classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == FUNCTION]
        if not functions:
            raise RejectedError(f"code: there is no function {FUNCTION!r}", code="file.invalid", hint="def process(record): …; not async")
        self._function = functions[-1]

    def input_type(self) -> StreamType | None:
        """Of the first argument, where it has an annotation that can be read; else None."""
        arguments = [*self._function.args.posonlyargs, *self._function.args.args]
        annotation = arguments[0].annotation if arguments else None
        return None if annotation is None else self._type(annotation, _MAX_DEPTH)

    def output_type(self) -> StreamType | None:
        """Of what is returned or yielded, None left aside, where it has an annotation that can be read; else None."""
        returned = self._function.returns
        if isinstance(returned, ast.Subscript) and ast.unparse(returned.value).rpartition(".")[2] in _STREAMS:
            inner = returned.slice
            returned = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner
        found = None if returned is None else self._type(returned, _MAX_DEPTH)
        return found.item if isinstance(found, OptionalOf) else found

    def _type(self, node: ast.expr, depth: int) -> StreamType | None:
        self._left -= 1
        if depth == 0 or self._left < 0:
            return None
        match node:
            case ast.Constant(value=str(text)):
                try:
                    return self._type(ast.parse(text, mode="eval").body, depth - 1)
                except (SyntaxError, ValueError):
                    return None
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self._optional(left, right, depth)
            case ast.Subscript(value=value, slice=inner):
                return self._container(ast.unparse(value), inner, depth)
            case ast.Name(id=name) if name in self._classes:
                return self._record(self._classes[name], depth)
            case ast.Name() | ast.Attribute():
                return _NAMES.get(ast.unparse(node).removeprefix("typing."))
        return None

    def _optional(self, left: ast.expr, right: ast.expr, depth: int) -> StreamType | None:
        kept = [one for one in (left, right) if not (isinstance(one, ast.Constant) and one.value is None)]
        found = self._type(kept[0], depth - 1) if len(kept) == 1 else None
        return found if found is None or isinstance(found, OptionalOf) else OptionalOf(found)

    def _container(self, name: str, inner: ast.expr, depth: int) -> StreamType | None:
        if name == "list":
            item = self._type(inner, depth - 1)
            return item and ListOf(item)
        if name == "dict" and isinstance(inner, ast.Tuple) and len(inner.elts) == 2 and ast.unparse(inner.elts[0]) == "str":
            value = self._type(inner.elts[1], depth - 1)
            return value and MapOf(value)
        return None

    def _record(self, node: ast.ClassDef, depth: int) -> StreamType | None:
        """Of a class without a base of the file's own, whose fields are the annotations in its body."""
        fields: list[tuple[str, StreamType]] = []
        if any(isinstance(base, ast.Name) and base.id in self._classes for base in node.bases):
            return None
        for one in node.body:
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                kind = self._type(one.annotation, depth - 1)
                if kind is None:
                    return None
                fields.append((one.target.id, kind))
        return Record(tuple(fields), node.name) if fields else None

    def load(self, file_name: str) -> Callable[..., Any]:
        """Runs the file and gives its function, which takes the record and, where it has a second argument, the context.

        What the function raises becomes a RecordError that names the line.

        Raises:
            RejectedError: `file.invalid`, when the file itself raises.
        """
        module = ModuleType(f"thalweg_python_{hashlib.sha256(self._source).hexdigest()[:16]}")
        module.__file__ = file_name
        sys.modules[module.__name__] = module  # where dataclasses look up the names in their annotations
        try:
            exec(compile(self._source, file_name, "exec", dont_inherit=True), module.__dict__)
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            raise RejectedError(f"code: {_told(error, file_name)}", code="file.invalid") from error
        function = module.__dict__[FUNCTION]
        is_generator = inspect.isgeneratorfunction(function)
        takes_context = len(inspect.signature(function).parameters) > 1

        def call(record: Any, context: Any) -> Any:
            try:
                return function(record, context) if takes_context else function(record)
            except (Exception, SystemExit) as error:
                raise _fault(error, file_name) from error

        def iterate(record: Any, context: Any) -> Iterator[Any]:
            try:
                yield from call(record, context)
            except RecordError:
                raise
            except (Exception, SystemExit) as error:
                raise _fault(error, file_name) from error

        return iterate if is_generator else call


def source_of(path: Path) -> bytes:
    """The file's bytes, no more than one above what is allowed."""
    with path.open("rb") as file:
        return file.read(MAX_CODE_BYTES + 1)


def _fault(error: BaseException, file_name: str) -> RecordError:
    return error if isinstance(error, RecordError) else RecordError(_told(error, file_name))


def _told(error: BaseException, file_name: str) -> str:
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == file_name]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {error}"
