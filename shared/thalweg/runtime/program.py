"""One component, instantiated: a uniform way to call functions and classes, plain and async."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from thalweg.errors import RejectedError
from thalweg.graph.types import StreamType
from thalweg.runtime.coroutines import CoroutineThread
from thalweg.runtime.opening import Opening, is_of_opening, opened
from thalweg.sdk.component import Component
from thalweg.sdk.context import Context
from thalweg.sdk.records import python_type
from thalweg.sdk.values import GeneratedFile, InputFile, Secret

_STATE = msgspec.msgpack.Encoder()


class Program:
    """A component bound to params, files and types.

    Args:
        component: the declaration.
        vertex: name of the vertex, for the context.
        params: validated params as JSON values.
        inputs: resolved stream type of each input port.
        outputs: resolved stream type of each output port.
        files: local path per input file slot.
        opening: what a source puts out before its own records.
        generated: local path per generated file slot.
        secrets: value per secret slot.

    Raises:
        RejectedError: a secret that the component needs is not bound (`secret.unbound`).
    """

    def __init__(
        self,
        component: Component,
        vertex: str,
        params: dict[str, Any],
        inputs: dict[str, StreamType],
        outputs: dict[str, StreamType],
        files: dict[str, Path],
        generated: dict[str, Path],
        secrets: Mapping[str, str] = MappingProxyType({}),
        opening: Opening | None = None,
    ) -> None:
        self.component, self._opening = component, opening
        self.is_async = _has_coroutines(component)
        self._coroutines = CoroutineThread()
        self.context = Context(vertex, inputs, outputs, {port: python_type(kind) for port, kind in outputs.items()})
        model = component.params
        self._bound: dict[str, Any] = {slot: InputFile(files[slot]) if slot in files else None for slot in component.files}
        self._bound |= {slot: GeneratedFile(path) for slot, path in generated.items()}
        self._bound |= _bind_secrets(vertex, component.secrets, secrets)
        if model is not None:
            self._bound[component.params_name] = model.model_validate(params)
        self.has_state = component.state is not None
        self.sees_watermarks = hasattr(component.target, "on_watermark")
        self.instance: Any = None
        self.calls: dict[str, Callable[..., Any]] = {}

    def start(self, state: bytes | None = None) -> None:
        """Makes the instance, restores its state, calls `setup`."""
        found = self.component
        if not found.is_class:
            self.calls = {port: self._function(argument) for port, argument in found.arguments.items()}
            if len(found.arguments) > 1:
                self.calls = {"*": partial(self._named, found.target, self._fixed())}
            return
        self._make_instance()
        self.restore(state)
        if hasattr(self.instance, "setup"):
            self._settle(self.instance.setup(self.context))
        if found.methods:
            self.calls = {port: self._method(getattr(self.instance, name)) for port, name in found.methods.items()}
        elif len(found.arguments) > 1:
            fixed = {"context": self.context} if _takes_context(self.instance.process) else {}
            self.calls = {"*": partial(self._named, self.instance.process, fixed)}
        elif found.arguments:
            self.calls = {"in": self._method(self.instance.process)}

    def probe(self) -> None:
        """Has the component, which is not started, open and close what it needs outside; does nothing for one that cannot.

        Raises:
            Exception: whatever it raises; by its contract UnreachableError or RejectedError.
        """
        if not hasattr(self.component.target, "probe"):
            return
        self._make_instance()
        try:
            self._settle(self.instance.probe())
        finally:
            self._coroutines.close()

    def restore(self, state: bytes | None) -> None:
        """Sets the component's state from a snapshot, or to its default."""
        if self.has_state:
            kind = self.component.state
            self.instance.state = msgspec.msgpack.decode(state, type=kind) if state is not None else kind()

    def snapshot(self) -> bytes | None:
        """The component's state as msgpack; None for a component without."""
        return _STATE.encode(self.instance.state) if self.has_state and self.instance is not None else None

    def source(self, cursor: Any) -> Iterator[Any]:
        """The records of a source, from behind `cursor` (None: from the start); those of its opening come before its own."""
        return self._own(cursor) if self._opening is None else opened(self._opening, self._own, cursor)

    def _own(self, cursor: Any) -> Iterator[Any]:
        found = self.component
        if found.is_class:
            arguments = {"context": self.context} if _takes_context(self.instance.read) else {}
            return self._iterate(self.instance.read(cursor, **arguments))
        fixed = self._fixed()
        if found.cursor_name:
            fixed[found.cursor_name] = cursor
        return self._iterate(found.target(**fixed))

    def results(self, given: Any) -> Iterable[Any]:
        """What a call gave, as records: nothing for None, each one of an iterator, else the value itself."""
        if given is None:
            return ()
        if inspect.iscoroutine(given):
            return self.results(self._settle(given))
        if hasattr(given, "__next__") or hasattr(given, "__anext__"):
            return self._iterate(given)
        if self.component.batched and isinstance(given, list):
            return given
        return (given,)

    def watermark(self, watermark_ns: int) -> Iterable[Any]:
        """What the component emits because event time has passed `watermark_ns`."""
        return self.results(self.instance.on_watermark(watermark_ns, self.context)) if self.sees_watermarks else ()

    def finish(self) -> Iterable[Any]:
        """What the component emits at the end of its input."""
        if hasattr(self.instance, "finish"):
            return self.results(self.instance.finish(self.context))
        return ()

    def committed(self, cursor: Any) -> None:
        """Tells a source that has a method `committed` that its records up to a cursor are stored; from another thread than its own."""
        if cursor is not None and hasattr(self.instance, "committed") and not is_of_opening(cursor):
            self.instance.committed(cursor)

    def cancel(self) -> None:
        """Cancels the coroutine that the component is waiting in, if it is in one; call it from another thread than its own."""
        self._coroutines.cancel()

    def close(self) -> None:
        """Calls the component's `close`, when it has one."""
        if hasattr(self.instance, "close"):
            self._settle(self.instance.close())
        self._coroutines.close()

    def _make_instance(self) -> None:
        self.instance = self.component.target()
        for name, value in self._bound.items():
            setattr(self.instance, name, value)

    def _fixed(self) -> dict[str, Any]:
        found = self.component
        fixed = dict(self._bound)
        if found.context_name:
            fixed[found.context_name] = self.context
        return fixed

    def _function(self, argument: str) -> Callable[[Any], Any]:
        target, fixed = self.component.target, self._fixed()
        if next(iter(inspect.signature(target).parameters)) == argument:
            return partial(target, **fixed) if fixed else target
        return lambda value: target(**{argument: value}, **fixed)

    def _method(self, method: Callable[..., Any]) -> Callable[[Any], Any]:
        return partial(method, context=self.context) if _takes_context(method) else method

    @staticmethod
    def _named(target: Callable[..., Any], fixed: dict[str, Any], values: dict[str, Any]) -> Any:
        return target(**values, **fixed)

    def _settle(self, given: Any) -> Any:
        if not inspect.iscoroutine(given):
            return given
        self.is_async = True
        return self._coroutines.run(given)

    def _iterate(self, given: Any) -> Iterator[Any]:
        if hasattr(given, "__aiter__"):
            return self._drain(given)
        return iter(given)

    def _drain(self, given: AsyncIterator[Any]) -> Iterator[Any]:
        async def step() -> Any:
            return await anext(given)

        while True:
            try:
                yield self._settle(step())
            except StopAsyncIteration:
                return


def _bind_secrets(vertex: str, declared: dict[str, bool], given: Mapping[str, str]) -> dict[str, Secret | None]:
    for slot, required in declared.items():
        if required and slot not in given:
            raise RejectedError(f"{vertex}: secret {slot!r} is not bound", code="secret.unbound", hint=f"secrets: {{{slot}: NAME}}")
    return {slot: Secret(given[slot]) if slot in given else None for slot in declared}


def _takes_context(method: Callable[..., Any]) -> bool:
    return "context" in inspect.signature(method).parameters


def _has_coroutines(component: Component) -> bool:
    """Whether calls will have to be waited for; what this overlooks is found out at the first coroutine."""
    target = component.target
    found = [value for name, value in inspect.getmembers(target, inspect.isfunction) if name != "probe"] if component.is_class else [target]
    return any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in found)
