"""A component as a release: its manifest, its digest, and the checks that validation asks of it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from thalweg.graph.derive import stream_type
from thalweg.graph.manifest import GeneratedSlot, Manifest
from thalweg.graph.releases import ParamFault
from thalweg.graph.types import StreamType, format_type
from thalweg.graph.wording import data_faults, did_you_mean
from thalweg.sdk.component import Component
from thalweg.sdk.source import source_digest


class ComponentRelease:
    """Implements `thalweg.graph.releases.Release` over a decorated component.

    Args:
        component: what the decorator read.
        code: where its module is: an import path, or the path of a `.py` file.
    """

    yanked: str | None = None

    def __init__(self, component: Component, code: str) -> None:
        self.component, self.code = component, code
        self.inputs = {port: stream_type(annotation) for port, annotation in component.inputs.items()}
        self.outputs = {port: stream_type(annotation) for port, annotation in component.outputs.items()}
        self.manifest = self._make_manifest()

    def check_params(self, params: dict[str, Any]) -> tuple[dict[str, Any], list[ParamFault]]:
        """Validated params as JSON values, and every fault with its path."""
        model = self.component.params
        if model is None:
            return {}, [ParamFault(name, "this component has no params") for name in params]
        try:
            checked = model.model_validate(params)
        except ValidationError as error:
            faults = data_faults(error, self.manifest.params_schema, "param")
            return {}, [ParamFault(one.path, one.message, one.kind == "missing") for one in faults]
        unknown = [
            ParamFault("", f"unknown param {name!r}; {did_you_mean(name, list(model.model_fields))}")
            for name in params
            if name not in model.model_fields and not _is_alias(model, name)
        ]
        return checked.model_dump(mode="json", by_alias=True), unknown

    def resolve(self, params: dict[str, Any], inputs: dict[str, StreamType], files: dict[str, Path]) -> dict[str, StreamType]:
        """Output types of a vertex with these params, resolved input types and local files.

        Raises:
            RejectedError: when the component refuses them (an expression over an unknown field, …).
        """
        if not hasattr(self.component.target, "resolve_types"):
            return dict(self.outputs)
        model = self.component.params
        found: dict[str, StreamType] = self.component.target.resolve_types(model.model_validate(params) if model else None, inputs, files)
        return {**self.outputs, **found}

    def _make_manifest(self) -> Manifest:
        found = self.component
        text = inspect.getdoc(found.target) or ""
        summary = text.strip().split("\n", 1)[0]
        return Manifest(
            name=found.name,
            version=found.version,
            kind=found.kind,
            summary=summary,
            help=text,
            inputs={port: format_type(kind) for port, kind in self.inputs.items()},
            outputs={port: format_type(kind) for port, kind in self.outputs.items()},
            params_schema=found.params.model_json_schema() if found.params else {},
            file_schema=found.files,
            generated_file_schema={slot: GeneratedSlot(type=kind, default_name=name) for slot, (kind, name) in found.generated.items()},
            secrets=list(found.secrets),
            optional_secrets=[slot for slot, required in found.secrets.items() if not required],
            endpoint=found.endpoint,
            optional_inputs=["in"] if found.endpoint == "in" else [],
            ports_param=found.ports_param,
            converter=found.converter,
            has_probe=found.is_class and hasattr(found.target, "probe"),
            deterministic=found.deterministic,
            stateful=found.state is not None,
            sees_watermarks=hasattr(found.target, "on_watermark"),
            combine=found.combine,
            code=self.code,
            digest=source_digest(found),
        )


def _is_alias(model: Any, name: str) -> bool:
    return any(field.alias == name for field in model.model_fields.values())
