"""The help page of a component release: ports, files, secrets and params, as people read them."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from thalweg.graph.manifest import Manifest
from thalweg.graph.parse import parse_type
from thalweg.graph.types import Variable

MAX_NESTING = 2
_WORDS = {"string": "text", "integer": "int", "number": "float", "boolean": "true or false", "null": "null", "object": "mapping"}


def show_page(manifest: Manifest, console: Console) -> None:
    """Prints the page."""
    console.print(Text.assemble((f"{manifest.name}@{manifest.version}", "bold"), f"  {manifest.kind}  {manifest.digest[:19]}…"))
    console.print(Markdown(manifest.help))
    console.print()
    for what, name, text in page_lines(manifest):
        console.print(Text.assemble(f"{what} ", (name, "bold"), f": {text}"), soft_wrap=True)


def page_lines(manifest: Manifest) -> list[tuple[str, str, str]]:
    """What a release declares: (kind of thing, its name, what it is)."""
    variables: dict[str, str] = {}
    lines = [("input", port, _input_type(port, kind, variables)) for port, kind in manifest.inputs.items()]
    lines += [("output", port, _output_type(kind, variables)) for port, kind in manifest.outputs.items()]
    if manifest.ports_param:
        lines.append(("output", f"each key of {manifest.ports_param}", "follows from params; `thalweg validate` tells it"))
    for slot, declared in manifest.file_schema.items():
        columns = ", ".join(f"{name}: {kind}" for name, kind in declared.columns.items())
        need = "required" if declared.required else "optional"
        lines.append(("file", slot, f"{declared.type}, {need}" + (f"; must have columns {columns}" if columns else "")))
    for slot, left in manifest.generated_file_schema.items():
        lines.append(("generated file", slot, f"{left.type}, saved as <vertex>-{left.default_name}"))
    for slot in manifest.secrets:
        lines.append(("secret", slot, "optional" if slot in manifest.optional_secrets else "required"))
    required = manifest.params_schema.get("required", [])
    for param, schema in manifest.params_schema.get("properties", {}).items():
        lines.append(("param", param, _param(schema, manifest.params_schema, param in required)))
    return lines


def _input_type(port: str, kind: str, variables: dict[str, str]) -> str:
    if not isinstance(parse_type(kind), Variable):
        return kind
    if kind in variables:
        return f"same type as {variables[kind]}"
    variables[kind] = port
    return "any type that the text above allows"


def _output_type(kind: str, variables: dict[str, str]) -> str:
    if not isinstance(parse_type(kind), Variable):
        return kind
    return f"same type as {variables[kind]}" if kind in variables else "follows from params, inputs and files; `thalweg validate` tells it"


def _param(schema: dict[str, Any], root: dict[str, Any], required: bool) -> str:
    default = (
        "required" if required else f"default {json.dumps(schema['default'], ensure_ascii=False)}" if "default" in schema else "optional"
    )
    description = schema.get("description", "")
    return f"{_shape(schema, root, MAX_NESTING)}, {default}" + (f"; {description}" if description else "")


def _shape(schema: dict[str, Any], root: dict[str, Any], depth: int) -> str:
    """A JSON Schema in one line."""
    if "$ref" in schema:
        return _shape(root["$defs"][schema["$ref"].rpartition("/")[2]], root, depth)
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    options = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if options:
        shapes = (_shape(one, root, depth) for one in options)
        return " | ".join(dict.fromkeys(shape for shape in shapes if shape != "null"))
    if schema.get("type") == "array":
        return f"list of {_shape(schema.get('items', {}), root, depth)}"
    if "properties" in schema and depth > 0:
        needed = schema.get("required", [])
        inner = (f"{name}{'' if name in needed else '?'}: {_shape(one, root, depth - 1)}" for name, one in schema["properties"].items())
        return "{" + ", ".join(inner) + "}"
    if isinstance(schema.get("additionalProperties"), dict):
        return "{name: " + _shape(schema["additionalProperties"], root, depth) + "}"
    return _WORDS.get(schema.get("type", ""), "any value") + _bounds(schema)


def _bounds(schema: dict[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    return "".join(f" {sign} {schema[name]:,g}" for name, sign in signs.items() if name in schema)
