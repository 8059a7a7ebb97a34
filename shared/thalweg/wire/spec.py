"""The deployment spec: what the coordinator stores, a vertex service runs from, and a run reproduces from."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

OnError = Literal["fail", "dead-letter", "retry"]
DeploymentState = Literal["running", "finished", "failed", "stopped"]


class EdgeSpec(msgspec.Struct, frozen=True):
    """`src_vertex.src_port -> dst_port` of the vertex that holds it.

    `type` is the source port's resolved stream type; into a generic port (`T`), the type that all edges into it are read as.
    """

    src_vertex: str
    src_port: str
    dst_port: str
    type: str

    @property
    def key(self) -> str:
        """Name of this edge in a vertex's positions."""
        return f"{self.src_vertex}.{self.src_port}>{self.dst_port}"


class FileSpec(msgspec.Struct, frozen=True):
    """A bound input file: `artifact` is `sha256:<hex>`; `name` its file name; `size_bytes`; directories are tarred: `directory`."""

    artifact: str
    name: str
    size_bytes: int
    directory: bool = False


class VertexSpec(msgspec.Struct, frozen=True):
    """One vertex as deployed. `outputs` maps port -> resolved stream type; `code` locates the component's module."""

    name: str
    component: str  # name@version
    digest: str  # sha256:<hex> of the component's source
    code: str  # import path `package.module`, absolute path of a .py file, or name of a file in the archive
    kind: Literal["source", "processor", "sink"]
    params: dict[str, Any] = {}
    inputs: list[EdgeSpec] = []
    outputs: dict[str, str] = {}
    files: dict[str, FileSpec] = {}
    generated: dict[str, str] = {}  # slot -> file name as it will be saved
    secrets: dict[str, str] = {}  # slot -> name of a workspace secret, never a value
    on_error: OnError = "fail"
    archive: str = ""  # artifact id of the source of a published release


class DeploymentSpec(msgspec.Struct, frozen=True):
    """One deployment at one generation."""

    workspace: str
    name: str
    backend: str
    vertices: list[VertexSpec]
    desired: Literal["running", "stopped"] = "running"
    storage: Literal["file", "memory"] = "file"
    max_messages_per_subject: int = 1024
    batch_records: int = 4096
    batch_bytes: int = 1_048_576
