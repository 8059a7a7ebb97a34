"""Thalweg: data pipelines as typed graphs of independent services, whose every run can be re-run and proved.

This is what component authors import: the decorator, the context, the value types, the errors.
"""

from thalweg.errors import NotReproducedError, RejectedError, RunFailedError, ThalwegError, UnreachableError, UsageError
from thalweg.sdk.component import component
from thalweg.sdk.context import Context
from thalweg.sdk.values import At, Audio, Bad, Emit, GeneratedFile, Image, InputFile, Place, Receipt, RecordError, Secret

__all__ = [
    "At",
    "Audio",
    "Bad",
    "Context",
    "Emit",
    "GeneratedFile",
    "Image",
    "InputFile",
    "NotReproducedError",
    "Place",
    "Receipt",
    "RecordError",
    "RejectedError",
    "RunFailedError",
    "Secret",
    "ThalwegError",
    "UnreachableError",
    "UsageError",
    "component",
]
