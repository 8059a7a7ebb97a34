"""The `component` decorator: reads ports, params, files, secrets and state off plain annotations."""

from __future__ import annotations

import collections.abc as abc
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel

from thalweg.errors import RejectedError
from thalweg.graph.derive import stream_type
from thalweg.graph.manifest import Combine, FileSlot
from thalweg.graph.parse import parse_type
from thalweg.graph.types import Record, format_type
from thalweg.sdk.context import Context
from thalweg.sdk.values import At, Bad, Emit, GeneratedFile, InputFile, Receipt, Secret
from thalweg.wire.receipts import RECEIPTS

EndpointSide = Literal["", "in", "out"]
Kind = Literal["source", "processor", "sink"]
ATTRIBUTE = "__thalweg__"
_STREAMS = (abc.Iterator, abc.Iterable, abc.Generator, abc.AsyncIterator, abc.AsyncIterable, abc.AsyncGenerator)
C = TypeVar("C", bound=Callable[..., Any])


@dataclass
class Component:
    """What a decorated function or class declares; the runtime and the manifest are built from it."""

    name: str
    version: str
    target: Any
    combine: Combine
    deterministic: bool
    kind: Kind = "processor"
    params: type[BaseModel] | None = None
    params_name: str = "params"
    context_name: str | None = None
    cursor_name: str | None = None
    state: Any = None
    inputs: dict[str, Any] = field(default_factory=dict)  # port -> annotation
    arguments: dict[str, str] = field(default_factory=dict)  # port -> argument name
    methods: dict[str, str] = field(default_factory=dict)  # port -> method name
    outputs: dict[str, Any] = field(default_factory=dict)
    files: dict[str, FileSlot] = field(default_factory=dict)
    generated: dict[str, tuple[str, str]] = field(default_factory=dict)  # slot -> (type, default file name)
    secrets: dict[str, bool] = field(default_factory=dict)  # slot -> required
    batched: bool = False
    endpoint: EndpointSide = ""  # the port of that name is open to the outside
    ports_param: str = ""  # the keys of this param are output ports too
    converter: bool = False  # may be suggested where an edge is refused
    emits_aside: bool = False  # `on_watermark` or `finish` may emit

    @property
    def is_class(self) -> bool:
        """Whether the target is a class with methods."""
        return inspect.isclass(self.target)


def component(
    name: str,
    *,
    version: str,
    combine: Combine = "event-time",
    deterministic: bool = True,
    endpoint: EndpointSide = "",
    ports_param: str = "",
    converter: bool = False,
) -> Callable[[C], C]:
    """Makes a function or class a component release; the function stays callable as it is.

    Args:
        name: release name, as in pipeline files.
        version: semantic version of the release.
        combine: how several inputs are combined: `arrival`, `event-time`, `zip` (one of each), `latest` (latest of each).
        deterministic: False when the same input may give other output (a lookup, a random model); evidence names it.
        ports_param: a param that is a mapping: its keys are output ports beside the declared ones; `resolve_types` gives their types.
        converter: it does nothing but turn one type into another, so a refused edge may suggest it. Of its params, `to` is the stream
            type to turn records into, `field` the field to turn in place of the whole record.
        endpoint: of the standard library's `http-in` and `http-out`: the port of that name is open to the outside.

    Raises:
        RejectedError: `component.invalid`, when the annotations do not say what its ports are.
    """

    def decorate(target: C) -> C:
        found = Component(name, version, target, combine, deterministic, endpoint=endpoint, ports_param=ports_param, converter=converter)
        (_read_class if inspect.isclass(target) else _read_function)(found)
        _check_flags(found)
        setattr(target, ATTRIBUTE, found)
        return target

    return decorate


def _check_flags(found: Component) -> None:
    if found.ports_param and (found.params is None or found.ports_param not in found.params.model_fields):
        raise RejectedError(f"component {found.name}: it has no param {found.ports_param!r} to name ports", code="component.invalid")
    if found.converter and (len(found.inputs), len(found.outputs)) != (1, 1):
        raise RejectedError(f"component {found.name}: a converter has one input and one output", code="component.invalid")


def component_of(target: Any) -> Component:
    """The declaration behind a decorated function or class."""
    found = target if isinstance(target, Component) else getattr(target, ATTRIBUTE, None)
    if not isinstance(found, Component):
        raise RejectedError(f"{target!r} is not a component", code="component.invalid", hint="decorate it with @component")
    return found


def _hints(target: Any) -> dict[str, Any]:
    return typing.get_type_hints(target, include_extras=True)


def _read_function(found: Component) -> None:
    hints = _hints(found.target)
    ports: dict[str, Any] = {}
    for argument in inspect.signature(found.target).parameters.values():
        if argument.name not in hints:
            raise RejectedError(f"component {found.name}: argument {argument.name!r} has no annotation", code="component.invalid")
        _place(found, argument.name, hints[argument.name], ports)
    _take_ports(found, ports)
    _take_outputs(found, hints.get("return"))


def _place(found: Component, name: str, annotation: Any, ports: dict[str, Any]) -> None:
    """Decides by annotation what an argument or attribute is."""
    bare, extras = annotation, ()
    if get_origin(annotation) is typing.Annotated:
        bare, *rest = get_args(annotation)
        extras = tuple(rest)
    optional = type(None) in get_args(bare) if get_origin(bare) in (typing.Union, types.UnionType) else False
    core = next((a for a in get_args(bare) if a is not type(None)), bare) if optional else bare
    if name == "cursor":
        found.cursor_name = name
    elif inspect.isclass(core) and issubclass(core, BaseModel) and name == "params":
        found.params, found.params_name = core, name
    elif core is Context:
        found.context_name = name
    elif core is InputFile:
        found.files[name] = _file_slot(f"component {found.name}: {name}", extras, not optional)
    elif core is Secret:
        found.secrets[name] = not optional
    elif core is GeneratedFile:
        kind = extras[0] if extras else "bytes"
        found.generated[name] = (kind, extras[1] if len(extras) > 1 else f"{found.name}.{kind}")
    else:
        ports[name] = annotation


def _file_slot(where: str, extras: tuple[Any, ...], required: bool) -> FileSlot:
    """The slot of `Annotated[InputFile, type, columns]`: columns are a dict of type texts, or a class of records."""
    kind, columns = extras[0] if extras else "bytes", extras[1] if len(extras) > 1 else {}
    if isinstance(columns, dict):
        for text in columns.values():
            parse_type(text)
        return FileSlot(type=kind, required=required, columns=columns)
    record = stream_type(columns, where)
    if not isinstance(record, Record):
        raise RejectedError(f"{where}: {format_type(record)} has no columns", code="component.invalid", hint="a dataclass or a dict")
    return FileSlot(type=kind, required=required, columns={column: format_type(one) for column, one in record.fields})


def _take_ports(found: Component, ports: dict[str, Any]) -> None:
    if len(ports) == 1:
        ((name, annotation),) = ports.items()
        if name in ("batch", "records") and get_origin(annotation) is list:
            found.batched, annotation = True, get_args(annotation)[0]
        found.inputs, found.arguments = {"in": annotation}, {"in": name}
    else:
        found.inputs, found.arguments = ports, {name: name for name in ports}


def _read_class(found: Component) -> None:
    target = found.target
    attributes: dict[str, Any] = {}
    for name, annotation in _hints(target).items():
        if name == "state":
            found.state = annotation
        elif typing.get_origin(annotation) is not typing.ClassVar and not name.startswith("_"):
            _place(found, name, annotation, attributes)
    found.context_name = None
    # `dir` would sort them: the order of ports is the order in which they are written, those of base classes first.
    written = dict.fromkeys(name for base in reversed(target.__mro__) for name in vars(base))
    methods = {name[3:]: name for name in written if name.startswith("on_") and name != "on_watermark" and callable(getattr(target, name))}
    if methods:
        for port, method in methods.items():
            ports = _method_ports(found, getattr(target, method))
            found.inputs[port], found.methods[port] = next(iter(ports.values())), method
        returned = _hints(getattr(target, next(iter(methods.values())))).get("return")
    elif hasattr(target, "process"):
        _take_ports(found, _method_ports(found, target.process))
        returned = _hints(target.process).get("return")
    elif hasattr(target, "read"):
        returned = _hints(target.read).get("return")
    else:
        raise RejectedError(f"component {found.name}: class has no process, on_<port> or read", code="component.invalid")
    _take_outputs(found, returned)
    asides = [getattr(target, name) for name in ("on_watermark", "finish") if hasattr(target, name)]
    found.emits_aside = bool(found.outputs) and any(_hints(method).get("return", Any) is not type(None) for method in asides)


def _method_ports(found: Component, method: Any) -> dict[str, Any]:
    hints, ports = _hints(method), dict[str, Any]()
    for argument in list(inspect.signature(method).parameters.values())[1:]:
        if argument.name == "context":
            continue
        if argument.name not in hints:
            raise RejectedError(f"component {found.name}: argument {argument.name!r} has no annotation", code="component.invalid")
        ports[argument.name] = hints[argument.name]
    return ports


def _take_outputs(found: Component, returned: Any) -> None:
    declared = getattr(found.target, "outputs", None)
    if isinstance(declared, dict):
        found.outputs = dict(declared)
    else:
        record = _record_annotation(returned)
        if found.batched and get_origin(record) is list:
            record = get_args(record)[0]
        if record is Receipt:
            found.outputs = {RECEIPTS: record}
        elif record is not None and record is not type(None):
            found.outputs = {"out": record}
    if not found.inputs or found.endpoint == "in":
        found.kind = "source"
    elif not found.outputs or found.endpoint == "out" or found.outputs == {RECEIPTS: Receipt}:
        found.kind = "sink"


def _record_annotation(returned: Any) -> Any:
    """The type of the records behind `Iterator[At[T] | Bad]`, `T | None`, `Emit[T]` and the like; None for no output."""
    if returned is None or returned is type(None):
        return None
    origin, args = get_origin(returned), get_args(returned)
    if origin in _STREAMS or origin in (At, Emit):
        return _record_annotation(args[0])
    if returned in (At, Emit):
        return Any
    if origin in (typing.Union, types.UnionType):
        kept = [arg for arg in args if arg is not type(None) and arg is not Bad]
        if any(get_origin(arg) in (*_STREAMS, At, Emit) or arg in (At, Emit) for arg in kept):
            return _record_annotation(kept[0])
        return typing.Union[tuple(kept)] if kept else None  # noqa: UP007
    return returned
