"""onnx: asks a model about each record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from thalweg import Context, InputFile, RecordError, component
from thalweg.errors import RejectedError
from thalweg.graph.field_names import field_name
from thalweg.graph.types import AudioType, ImageType, OptionalOf, Record, StreamType, TensorType
from thalweg.sdk.onnx_model import describe_model
from thalweg_components.image_arrays import ImageArrays, ImageInput
from thalweg_components.model_arrays import from_row, to_row
from thalweg_components.model_inputs import Input, plan_input, plan_output, rows_of, tensor_of
from thalweg_components.names import check_names
from thalweg_components.onnx_session import CPU, MAX_THREADS, OnnxSession

In = TypeVar("In")
Out = TypeVar("Out")
Number = bool | int | float | str
MAX_BATCH = 1024


class Params(BaseModel):
    """What goes in, what comes out, how it runs."""

    model_config = ConfigDict(extra="forbid")

    inputs: dict[str, str | Annotated[list[str], Field(min_length=1, max_length=4096)]] = Field(
        default_factory=dict, description="input of the model -> field, or fields that make a row of numbers; else the field of its name"
    )
    constants: dict[str, Number | list[Any]] = Field(default_factory=dict, description="input of the model -> value, the same in every run")
    outputs: dict[str, str] | None = Field(None, min_length=1, description="output of the model -> field; without it, all by their names")
    keep: list[str] | None = Field(None, description="fields of the record to pass on; without it, all but images, audio and tensors")
    image: ImageInput = Field(default_factory=lambda: ImageInput.model_validate({}), description="how images become arrays")
    batch_axis: bool = Field(True, description="the first dimension of inputs and outputs counts records; false: a record is all of it")
    batch: int = Field(1, ge=1, le=MAX_BATCH, description="records that go through the model at once, at most")
    threads: int = Field(1, ge=1, le=MAX_THREADS, description="that the model runs on")
    providers: list[str] = Field([CPU], min_length=1, max_length=8, description="of onnxruntime, in order of preference")


@component("onnx", version="1.0.0")
class Onnx:
    """Asks an ONNX model about each record.

    **Ports**: `in` takes records, images or tensors. `out` emits the record's fields (`keep`; by default all but images, audio and
    tensors), then a field for each output of the model: a number, a list of numbers, a `tensor`, texts, or `map[float]` for what a
    classifier thinks of its labels. `thalweg validate` shows the type, which is read off the model.

    **Files**: `model` (onnx), whole in one file.

    **Params**: `inputs` (model's input: field, or a list of fields that make a row; without it, the field of the input's name, or the
    bare value). A field is a number, text, list, tensor or image that fits the input's dtype and shape. `constants` (input: value),
    `outputs` (model's output: field), `keep` (fields). `batch_axis` (false for models whose first dimension does not count records).
    `batch` (records a run, 1 to 1,024), `threads` (1 to 64), `providers` (of onnxruntime).
    `image`: `width`, `height` (pixels), `resize` (`stretch`, `fit`, `crop`), `border` (0 to 255), `layout` (`nchw`, `nhwc`), `colors`
    (`rgb`, `bgr`), then (pixel * `scale` - `mean`) / `std`.

    **Batches**: with `batch` above 1, what is waiting goes through the model together, filled up to `batch` with copies, as is always
    done for models of a fixed number of records. So the same numbers come out however records were batched, of every model that looks
    at each record alone; one that reckons over the batch, as dynamic quantization does, needs `batch: 1`.

    **Determinism**: the same on processors of one kind; others may differ in the last bits.

    **Faults**: an input that no field fits, a missing field and a dtype that records cannot hold are rejected before it runs, with
    the input's name. A null, a value of another shape and what the model fails at are faulty records.
    """

    params: Params
    model: Annotated[InputFile, "onnx"]

    @classmethod
    def resolve_types(cls, params: Params, inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Fields that are kept, then the model's outputs."""
        if "model" not in files:
            raise RejectedError("model: what it gives cannot be told without it", code="params.invalid", hint="bind the file")
        plan = _Plan(params, inputs["in"], files["model"])
        return {"out": Record((*plan.kept, *((field, kind) for _, field, kind in plan.outputs)))}

    def setup(self, context: Context) -> None:
        """Loads the model."""
        self._plan = plan = _Plan(self.params, context.input_type("in"), self.model.path)
        self._class = context.record_class("out")
        self._session = OnnxSession(self.model.path, threads=self.params.threads, providers=tuple(self.params.providers))
        self._to_row = {one.name: _maker(one, self.params) for one in plan.inputs}
        self._names = [name for name, _, _ in plan.outputs]

    def process(self, batch: list[In]) -> list[Out]:
        """One answer for each record."""
        size = self._plan.rows
        return [one for start in range(0, len(batch), size) for one in self._answers(batch[start : start + size])]

    def _answers(self, records: list[Any]) -> list[Any]:
        plan, arrays = self._plan, dict(self._plan.constants)
        for name, make in self._to_row.items():
            arrays[name] = self._stacked(name, [make(one) for one in records])
        found = self._session.run(self._names, arrays)
        if plan.batched:
            for name, one in zip(self._names, found, strict=True):
                _check_rows(name, one, plan.rows)
        else:
            found = [[one] for one in found]
        kinds = [kind for _, _, kind in plan.outputs]
        return [
            self._class(
                *(getattr(record, name) for name, _ in plan.kept),
                *(from_row(one[index], kind) for one, kind in zip(found, kinds, strict=True)),
            )
            for index, record in enumerate(records)
        ]

    def _stacked(self, name: str, rows: list[Any]) -> Any:
        if not self._plan.batched:
            return rows[0]
        if len({row.shape for row in rows}) > 1:
            shapes = " and ".join(sorted({str(row.shape) for row in rows})[:2])
            raise RecordError(f"input {name!r} of the model cannot take {shapes} in one run", hint="batch: 1, or one size for all")
        return np.stack([*rows, *[rows[-1]] * (self._plan.rows - len(rows))])


class _Plan:
    """What goes where: the model's types against those of the records."""

    def __init__(self, params: Params, source: StreamType, path: Path) -> None:
        try:
            model = describe_model(path)
        except ValueError as error:
            raise RejectedError(f"model: no ONNX model: {error}", code="file.invalid") from error
        self.batched = params.batch_axis
        _check_known(params, model)
        asked = {name: text for name, text in model["inputs"].items() if name not in params.constants}
        self.constants = {name: _constant(name, model["inputs"][name], value) for name, value in params.constants.items()}
        self.rows = _rows(params, asked)
        self.inputs = [plan_input(name, text, self.batched, source, params.inputs.get(name)) for name, text in asked.items()]
        for one in self.inputs:
            _maker(one, params)
        names = params.outputs or {name: field_name(name) for name in model["outputs"]}
        self.outputs = [(name, field, plan_output(name, model["outputs"][name], self.batched)) for name, field in names.items()]
        self.kept = _kept(params.keep, source)
        check_names([*(name for name, _ in self.kept), *(field for _, field, _ in self.outputs)], "outputs")


def _check_known(params: Params, model: dict[str, dict[str, str]]) -> None:
    given = [("inputs", one, "inputs") for one in params.inputs] + [("constants", one, "inputs") for one in params.constants]
    given += [("outputs", one, "outputs") for one in params.outputs or {}]
    for param, name, side in given:
        if name not in model[side]:
            hint = f"it has {', '.join(model[side]) or 'none'}"
            raise RejectedError(f"{param}: the model has no {side[:-1]} {name!r}", code="params.invalid", hint=hint)
    for name in params.inputs:
        if name in params.constants:
            raise RejectedError(f"constants: {name!r} is among inputs too", code="params.invalid")


def _rows(params: Params, asked: dict[str, str]) -> int:
    fixed = rows_of(asked) if params.batch_axis else 1
    if fixed is not None and params.batch not in (1, fixed):
        raise RejectedError(f"batch: the model takes {fixed} record{'s' if fixed > 1 else ''} a run", code="params.invalid")
    return fixed or params.batch


def _constant(name: str, text: str, value: Any) -> Any:
    kind = tensor_of(name, text)
    try:
        array = np.array(value, dtype=object if kind.dtype == "str" else kind.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise RejectedError(f"constants: {name!r} takes {text}: {error}", code="params.invalid") from error
    if kind.shape is not None and len(kind.shape) != array.ndim:
        raise RejectedError(f"constants: {name!r} takes {text}, this has {array.ndim} dimensions", code="params.invalid")
    return array


def _kept(keep: list[str] | None, source: StreamType) -> list[tuple[str, StreamType]]:
    fields = dict(source.fields) if isinstance(source, Record) else {}
    for name in keep or ():
        if name not in fields:
            raise RejectedError(
                f"keep: there is no field {name!r}", code="params.invalid", hint=f"known fields: {', '.join(fields) or 'none'}"
            )
    if keep is not None:
        return [(name, fields[name]) for name in keep]
    return [(name, kind) for name, kind in fields.items() if not isinstance(_base(kind), ImageType | AudioType | TensorType)]


def _base(kind: StreamType) -> StreamType:
    return kind.item if isinstance(kind, OptionalOf) else kind


def _maker(given: Input, params: Params) -> Any:
    if given.is_image:
        return ImageArrays(given, params.image).to_row
    return lambda record: to_row(record, given)


def _check_rows(name: str, found: Any, rows: int) -> None:
    if len(found) != rows if isinstance(found, list) else found.shape[:1] != (rows,):
        shape = len(found) if isinstance(found, list) else found.shape
        raise RecordError(
            f"output {name!r} of the model is {shape} for {rows} records",
            hint="batch_axis: false, or leave it out with `outputs`",
        )
