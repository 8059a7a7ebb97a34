"""When a vertex that something else keeps running stops, drains, or begins anew."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from thalweg.errors import RunFailedError
from thalweg.wire.spec import DeploymentSpec, EdgeSpec, VertexSpec
from thalweg_vertex.kept import is_replaced, is_to_drain
from thalweg_vertex.secrets import take_secrets

SOURCE = VertexSpec("a", "source@1.0.0", "sha256:0", "code", "source")
BEHIND = VertexSpec("b", "sink@1.0.0", "sha256:0", "code", "sink", inputs=[EdgeSpec("a", "out", "in", "int")], secrets={"token": "api-key"})
SPEC = DeploymentSpec("default", "flow", "flow", [SOURCE, BEHIND], deployed_ns=1)


def changed(**fields: object) -> DeploymentSpec:
    return msgspec.structs.replace(SPEC, **fields)


def test_a_vertex_is_replaced_by_a_newer_generation_of_it_or_another_deployment_alone() -> None:
    newer = changed(generation=2, vertices=[msgspec.structs.replace(SOURCE, generation=2), BEHIND])
    assert is_replaced(SPEC, SOURCE, newer) and not is_replaced(SPEC, BEHIND, newer)
    assert is_replaced(SPEC, BEHIND, changed(vertices=[SOURCE])) and is_replaced(SPEC, BEHIND, None)
    assert is_replaced(SPEC, BEHIND, changed(deployed_ns=2)) and not is_replaced(SPEC, BEHIND, changed(desired="draining"))


def test_a_partition_that_retires_stops_and_one_that_is_started_as_retired_waits() -> None:
    retired = msgspec.structs.replace(BEHIND, retired=2)
    assert is_replaced(SPEC, BEHIND, changed(generation=2, vertices=[SOURCE, retired]))
    assert not is_replaced(SPEC, retired, changed(generation=3, vertices=[SOURCE, retired]))


def test_only_sources_drain_and_only_those_that_were_not_started_to() -> None:
    draining = changed(desired="draining")
    assert is_to_drain(SPEC, SOURCE, draining)
    assert not is_to_drain(SPEC, BEHIND, draining) and not is_to_drain(draining, SOURCE, draining) and not is_to_drain(SPEC, SOURCE, SPEC)


def test_secrets_are_read_by_slot_and_one_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match="its secret of slot token cannot be read"):
        take_secrets(BEHIND, tmp_path)
    (tmp_path / "token").write_text("s3cret")
    assert take_secrets(BEHIND, tmp_path) == {"token": "s3cret"} and take_secrets(SOURCE, tmp_path) == {}
