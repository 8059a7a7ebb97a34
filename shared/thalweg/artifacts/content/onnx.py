"""ONNX models as artifacts: what is none is refused."""

from __future__ import annotations

from pathlib import Path

from thalweg.artifacts.content.faults import Facts, mismatch
from thalweg.sdk import onnx_model


def check_model(path: Path) -> None:
    """Refuse what is not a protobuf ModelProto with an IR version, operator sets and a graph with outputs."""
    describe_model(path)


def describe_model(path: Path) -> Facts:
    """Inputs (without initializers) and outputs, each name with its type."""
    try:
        return dict(onnx_model.describe_model(path))
    except ValueError as error:
        raise mismatch(path.name, f"no ONNX model: {error}") from None
