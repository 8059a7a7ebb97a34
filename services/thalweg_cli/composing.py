"""`thalweg compose`: one pipeline as a Compose file, a service for each vertex, beside the stack of deploy/compose.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from thalweg.errors import RejectedError
from thalweg.graph.plan import Plan
from thalweg.launching import usual_image
from thalweg.wire.planned import spec_of, split
from thalweg.wire.spec import VertexSpec

HEAD = (
    "# Made by `thalweg compose`; made again, it is the same. Beside the stack of deploy/compose.yaml, with the same .env:\n"
    "#   docker compose --env-file deploy/.env -f FILE up -d\n"
)
PLACE, SECRETS = "/pipeline", "/run/secrets"
DEPLOYING = "_deploy"  # no vertex can be called so
_SERVICE: dict[str, Any] = {
    "restart": "unless-stopped",
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "stop_grace_period": "30s",
    "logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}},
}
_NATS = {
    "THALWEG_NATS_URL": "nats://${NATS_USER:?see deploy/.env}:${NATS_PASSWORD:?see deploy/.env}@${NATS_HOST:-nats}:4222",
    "THALWEG_WORKSPACE": "${THALWEG_WORKSPACE:-default}",
}
_STORE = {
    "THALWEG_S3_ENDPOINT": "${S3_ENDPOINT:-http://s3:8333}",
    "THALWEG_S3_ACCESS_KEY": "${THALWEG_S3_ACCESS_KEY:?see deploy/.env}",
    "THALWEG_S3_SECRET_KEY": "${THALWEG_S3_SECRET_KEY:?see deploy/.env}",
}


def compose_of(plan: Plan, pipeline: Path, folder: Path, name: str) -> dict[str, Any]:
    """The content of the file; the same for the same plan and places.

    Args:
        plan: without faults.
        pipeline: its file; what it binds must lie in its folder, which is mounted.
        folder: where the Compose file will be.
        name: of the deployment.

    Raises:
        RejectedError: `compose.outside`, a bound file lies elsewhere.
    """
    home = pipeline.resolve().parent
    _refuse_outside(plan, home)
    vertices = split([spec_of(one) for one in plan.vertices], plan.vertices)
    with_files = {part for one in plan.vertices if one.files for part in one.parts}
    services = {one.name.replace("~", "."): _service(one, name, one.name in with_files or one.needs_store) for one in vertices}
    found: dict[str, Any] = {
        "name": f"thalweg-{name.lower()}",
        "services": {DEPLOYING: _deploying(pipeline, os.path.relpath(home, folder), plan.pipeline.backend, name), **services},
        "networks": {"default": {"name": "${THALWEG_NETWORK:-thalweg}", "external": True}},
    }
    if secrets := sorted({secret for one in vertices for secret in one.secrets.values()}):
        found["secrets"] = {secret: {"file": f"${{SECRETS:-./secrets}}/{secret}"} for secret in secrets}
    if volumes := sorted(_volume(one) for one in vertices if one.generated):
        found["volumes"] = dict.fromkeys(volumes)
    return found


def _service(vertex: VertexSpec, name: str, needs_store: bool) -> dict[str, Any]:
    command = ["vertex", "--deployment", name, "--vertex", vertex.name, "--kept"]
    service: dict[str, Any] = {
        "image": _image(),
        "command": [*command, "--secrets", SECRETS] if vertex.secrets else command,
        "environment": _NATS | (_STORE if needs_store else {}),
        "labels": {"thalweg.component": vertex.component},
        **_SERVICE,
        # What it generates is made again from a spool that has to outlive the container.
        "tmpfs": ["/tmp"] if vertex.generated else ["/tmp", "/data:uid=10001,gid=10001,mode=0700"],
        "deploy": {"resources": {"limits": {"cpus": "${VERTEX_CPUS:-1}", "memory": "${VERTEX_MEMORY:-1g}"}}},
    }
    if vertex.generated:
        service["volumes"] = [f"{_volume(vertex)}:/data"]
    if vertex.secrets:
        service["secrets"] = [{"source": secret, "target": f"{SECRETS}/{slot}"} for slot, secret in sorted(vertex.secrets.items())]
    return service


def _deploying(pipeline: Path, home: str, backend: str, name: str) -> dict[str, Any]:
    """Stores the graph and its files, and deploys it; on the next start it deploys what has changed."""
    script = 'thalweg apply "$$1" && exec thalweg deploy "$$2" --name "$$3" --launcher static --update'
    return {
        "image": _image(),
        "entrypoint": ["tini", "--"],
        "command": ["sh", "-ec", script, "deploy", pipeline.name, backend, name],
        "environment": _NATS | _STORE | {"THALWEG_DATA": "/tmp/thalweg", "THALWEG_AUTHOR": "compose"},
        **_SERVICE,
        "restart": "on-failure:20",
        "healthcheck": {"disable": True},
        "tmpfs": ["/tmp"],
        "volumes": [{"type": "bind", "source": home if home.startswith(".") else f"./{home}", "target": PLACE, "read_only": True}],
        "working_dir": PLACE,
    }


def _image() -> str:
    return f"${{THALWEG_IMAGE:-{usual_image()}}}"


def _volume(vertex: VertexSpec) -> str:
    return f"data-{vertex.name}"


def _refuse_outside(plan: Plan, home: Path) -> None:
    for vertex in plan.vertices:
        for slot, given in vertex.files.items():
            if isinstance(given, Path) and not given.resolve().is_relative_to(home):
                raise RejectedError(
                    f"vertex {vertex.name}: files.{slot}: {given} is not in the folder of the pipeline file",
                    code="compose.outside",
                    hint=f"move it to {home}, or bind an artifact: `thalweg file put`",
                )
