"""ONNX models, run the same way every time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thalweg import RecordError
from thalweg.errors import RejectedError
from thalweg_components.extras import needs

CPU = "CPUExecutionProvider"
MAX_THREADS = 64


class OnnxSession:
    """A loaded model.

    Args:
        path: of the model.
        threads: that one operator is spread over.
        providers: of onnxruntime, in order of preference.
        extra: of Thalweg, that has onnxruntime.

    Raises:
        RejectedError: onnxruntime is not installed (`component.no_library`), has no such provider (`params.invalid`), or does not
            load the model (`file.invalid`).
    """

    def __init__(self, path: Path, *, threads: int = 1, providers: tuple[str, ...] = (CPU,), extra: str = "onnx") -> None:
        with needs(extra):
            import onnxruntime as ort
        missing = [one for one in providers if one not in ort.get_available_providers()]
        if missing:
            hint = f"it has {', '.join(ort.get_available_providers())}; other ones are in other builds of onnxruntime"
            raise RejectedError(f"providers: this onnxruntime has no {missing[0]}", code="params.invalid", hint=hint)
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 3  # errors: what it warns of is for those who made the model
        try:
            self._session = ort.InferenceSession(str(path), options, providers=list(providers))
        except Exception as error:  # its errors have no common class of their own
            raise RejectedError(f"model: onnxruntime does not load it: {_line(error)}", code="file.invalid") from error

    def run(self, outputs: list[str], arrays: Mapping[str, Any]) -> list[Any]:
        """The outputs asked for. Raises RecordError when the model fails."""
        try:
            found: list[Any] = self._session.run(outputs, dict(arrays))
        except Exception as error:
            raise RecordError(f"the model failed: {_line(error)}") from error
        return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
