"""The docker launcher: a container for each vertex, found again by its labels."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from thalweg.embedded.process import feed
from thalweg.errors import RejectedError, UnreachableError
from thalweg.launching import usual_image
from thalweg.settings import Settings, child_environment
from thalweg_coordinator.restarts import Restarts, exit_code_of
from thalweg_coordinator.statuses import Usage

try:
    from docker.client import DockerClient
    from docker.errors import APIError, DockerException, ImageNotFound, NotFound
    from requests.exceptions import RequestException
except ImportError as error:
    raise RejectedError(
        "launcher docker: the Python package docker is not installed", code="launcher.unavailable", hint="pip install 'thalweg[docker]'"
    ) from error

STOP_TIMEOUT_S = 3
LOOK_S = 0.4  # between two looks at what runs
CALL_TIMEOUT_S = 10
AT_ONCE = 16
_TAIL_LINES, _LINE_LENGTH = 5, 200
_LABEL = "thalweg."
_CONFLICT = 409  # it is not running (any more), is being removed, or another coordinator has made it
_HERE_ALONE = (
    "THALWEG_DATA",
    "THALWEG_LAUNCHER",
    "THALWEG_VERTEX_IMAGE",
    "THALWEG_DOCKER_NETWORK",
    "THALWEG_HTTP_URL",
    "THALWEG_COMPONENTS",
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A container as it was found: `code` is None while it runs."""

    id: str
    generation: int
    drains: bool
    code: int | None

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Seen:
        """Of what the engine lists. One that was made and not started counts as killed, so that it is made again."""
        labels, exited = found["Labels"], re.match(r"Exited \((\d+)\)", found["Status"])
        code = None if found["State"] in ("running", "paused", "restarting") else exit_code_of(int(exited[1]) if exited else 137)
        return cls(found["Id"], int(labels[_LABEL + "generation"]), labels[_LABEL + "drains"] == "1", code)


def environment_of(settings: Settings, *, with_store: bool) -> dict[str, str]:
    """What a vertex elsewhere is told: the settings that this process was given by its environment, but for those of its place."""
    given = child_environment(with_store=with_store)
    kept = {name: value for name, value in given.items() if name.startswith("THALWEG_") and name not in _HERE_ALONE}
    servers = {"THALWEG_NATS_URL": settings.nats_url, "THALWEG_WORKSPACE": settings.workspace, "THALWEG_S3_BUCKET": settings.s3_bucket}
    store = {"THALWEG_S3_ENDPOINT": settings.s3_endpoint} if with_store else {}
    return kept | {name: value for name, value in (servers | store).items() if value is not None}


class DockerLauncher:
    """Vertices of one workspace on one Docker engine (`DOCKER_HOST`, else the local socket). See `launching.Launcher`.

    Args:
        settings: workspace, image, network and limits.
    """

    is_kept = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: dict[tuple[str, str], Seen] = {}
        self._looked_at = float("-inf")
        with _translated():
            self._client = DockerClient.from_env(timeout=CALL_TIMEOUT_S)
            self._client.ping()

    def observe(self) -> None:
        """Lists the containers of the workspace, at most every 0.4 s."""
        if time.monotonic() - self._looked_at < LOOK_S:
            return
        with _translated():
            found = self._list()
        self._seen = {_key(one): Seen.of(one) for one in found if one["State"] != "removing"}
        self._looked_at = time.monotonic()

    def start(
        self,
        deployment: str,
        vertex: str,
        generation: int = 1,
        *,
        drains: bool = False,
        secrets: Mapping[str, str] | None = None,
        with_store: bool = True,
        keeps_files: bool = True,
    ) -> None:
        """Starts a container in place of the one that has ended. Secrets go by its standard input: no inspection shows them.

        Raises:
            RejectedError: `launcher.image_unknown`, `launcher.refused`.
            UnreachableError: `launcher.unreachable`.
        """
        name = self._name(deployment, vertex)
        with _translated():
            with suppress(NotFound):
                former = self._client.containers.get(name)
                if former.status == "running":
                    return
                former.remove(force=True)
            options = self._options(deployment, vertex, generation, drains=drains, with_store=with_store)
            made = self._client.containers.create(name=name, stdin_open=bool(secrets), **options)
            try:
                pipe = self._attach(made) if secrets else None
                made.start()
            except APIError:
                made.remove(force=True)
                raise
        if pipe is not None:
            feed(pipe.makefile("wb"), json.dumps(dict(secrets or {})).encode())
            pipe.close()  # the file keeps the connection until it is closed
        self._seen[deployment, vertex] = Seen(made.id, generation, drains, None)

    def exit_code(self, deployment: str, vertex: str) -> int | None:
        """None while the container runs; killed, where it is gone."""
        found = self._seen.get((deployment, vertex))
        return found.code if found is not None else -9

    def restarts(self, deployment: str, vertex: str) -> Restarts | None:
        """None: nothing but the coordinator starts it again."""
        return None

    def knows(self, deployment: str, vertex: str) -> bool:
        """Whether there is a container of it, running or not."""
        return (deployment, vertex) in self._seen

    def generation(self, deployment: str, vertex: str) -> int:
        """By its label."""
        return self._seen[deployment, vertex].generation

    def drains(self, deployment: str, vertex: str) -> bool:
        """By its label."""
        return self._seen[deployment, vertex].drains

    def signal(self, deployment: str, vertex: str, number: int) -> int | None:
        """Sends a signal; the number that is returned is of this container."""
        found = self._seen.get((deployment, vertex))
        if found is None or found.code is not None:
            return None
        if number:
            with _translated(), _unless_gone():
                self._client.api.kill(found.id, number)
        return int(found.id[:8], 16)

    def usage(self, deployment: str) -> dict[str, Usage]:
        """Memory and processor time of its containers."""
        with _translated():
            found = {_key(one)[1]: one["Id"] for one in self._list(deployment) if one["State"] == "running"}
            with ThreadPoolExecutor(AT_ONCE) as pool:
                stats = pool.map(lambda one: self._client.api.stats(one, stream=False, one_shot=True), found.values())
                return {vertex: _usage(one) for vertex, one in zip(found, stats, strict=True) if one["memory_stats"]}

    def forget(self, deployment: str, vertex: str) -> None:
        """Removes its container."""
        with _translated(), _unless_gone():
            self._client.containers.get(self._name(deployment, vertex)).remove(force=True)
        self._seen.pop((deployment, vertex), None)

    def vertices(self, deployment: str) -> list[str]:
        """Those with a container."""
        return sorted(vertex for name, vertex in tuple(self._seen) if name == deployment)

    def stop(self, deployment: str) -> None:
        """Stops its containers side by side, and removes them."""
        with _translated(), ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._end, [one["Id"] for one in self._list(deployment)]))
        for key in tuple(self._seen):  # other threads start vertices of others meanwhile
            if key[0] == deployment:
                self._seen.pop(key, None)

    def deployments(self) -> list[str]:
        """Those with containers."""
        return sorted({name for name, _ in tuple(self._seen)})

    def log_tail(self, deployment: str, vertex: str) -> list[str]:
        """What the engine has kept of its output."""
        try:
            with _translated():
                lines = (
                    self._client.containers.get(self._name(deployment, vertex)).logs(tail=_TAIL_LINES).decode(errors="replace").splitlines()
                )
        except (RejectedError, UnreachableError):
            return []
        return [line[:_LINE_LENGTH] for line in lines if line.strip()]

    def clear(self, deployment: str, vertex: str | None = None) -> None:
        """Removes volumes."""
        wanted = [self._label("workspace", self._settings.workspace), self._label("deployment", deployment)]
        wanted += [self._label("vertex", vertex)] if vertex is not None else []
        with _translated():
            for volume in self._client.volumes.list(filters={"label": wanted}):
                with _unless_gone():
                    volume.remove(force=True)

    def _options(self, deployment: str, vertex: str, generation: int, *, drains: bool, with_store: bool) -> dict[str, Any]:
        settings, labels = self._settings, self._labels(deployment, vertex)
        volume = self._name(deployment, vertex)
        self._client.volumes.create(volume, labels=labels)
        return {
            "image": settings.vertex_image or usual_image(),
            "command": ["vertex", "--deployment", deployment, "--vertex", vertex],
            "environment": environment_of(settings, with_store=with_store),
            "labels": labels | {_LABEL + "generation": str(generation), _LABEL + "drains": str(int(drains))},
            "network": settings.docker_network,
            "volumes": {volume: {"bind": "/data", "mode": "rw"}},
            "tmpfs": {"/tmp": ""},
            "read_only": True,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges:true"],
            "mem_limit": settings.vertex_memory_bytes or None,
            "nano_cpus": int(settings.vertex_cpus * 1e9) or None,
            "restart_policy": {"Name": "no"},  # the coordinator restarts it: it knows whether that helps
            "log_config": {"type": "json-file", "config": {"max-size": "10m", "max-file": "3"}},
        }

    def _labels(self, deployment: str, vertex: str) -> dict[str, str]:
        return {_LABEL + "workspace": self._settings.workspace, _LABEL + "deployment": deployment, _LABEL + "vertex": vertex}

    def _label(self, name: str, value: str) -> str:
        return f"{_LABEL}{name}={value}"

    def _name(self, deployment: str, vertex: str) -> str:
        return f"thalweg.{self._settings.workspace}.{deployment}.{vertex.replace('~', '.')}"  # no name has a dot

    def _list(self, deployment: str | None = None) -> list[dict[str, Any]]:
        wanted = [_LABEL + "generation", self._label("workspace", self._settings.workspace)]
        wanted += [self._label("deployment", deployment)] if deployment is not None else []
        found: list[dict[str, Any]] = self._client.api.containers(all=True, filters={"label": wanted})
        return found

    def _end(self, container: str) -> None:
        with _unless_gone():
            self._client.api.stop(container, timeout=STOP_TIMEOUT_S)
            self._client.api.remove_container(container, force=True)

    def _attach(self, made: Any) -> socket.socket:
        attached = made.attach_socket(params={"stdin": 1, "stream": 1})
        found: socket.socket = getattr(attached, "_sock", attached)  # the local socket's is wrapped
        return found


def _key(found: Mapping[str, Any]) -> tuple[str, str]:
    return found["Labels"][_LABEL + "deployment"], found["Labels"][_LABEL + "vertex"]


def _usage(stats: Mapping[str, Any]) -> Usage:
    return Usage(int(stats["memory_stats"].get("usage", 0)), stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9)


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Within the block it is fine when a container or volume is gone, or goes at the same moment."""
    try:
        yield
    except NotFound:
        return
    except APIError as error:
        if error.status_code != _CONFLICT:
            raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ImageNotFound as error:
        hint = "`make image` builds it; THALWEG_VERTEX_IMAGE names another one"
        raise RejectedError(f"Docker: {error.explanation}", code="launcher.image_unknown", hint=hint) from error
    except APIError as error:
        if error.is_server_error() or error.status_code == _CONFLICT:
            raise UnreachableError(f"Docker: {error.explanation}", code="launcher.unreachable") from error
        raise RejectedError(f"Docker: {error.explanation}", code="launcher.refused") from error
    except (DockerException, RequestException) as error:
        hint = "DOCKER_HOST says where it is; its socket must be readable"
        raise UnreachableError("the Docker engine does not answer", code="launcher.unreachable", hint=hint) from error
