"""Every NATS name of Thalweg: subjects, stream and bucket names; nothing else formats one."""

from __future__ import annotations

from thalweg.errors import RejectedError
from thalweg.graph.fields import is_name
from thalweg.graph.partitions import partition_name, partition_of

COMMIT_PORT, STATE_PORT, DEAD_PORT = "_commit", "_state", "_dead"
IN_ENDPOINT, OUT_ENDPOINT = "in", "out"  # an endpoint is called as the port that it stands for


def check_token(kind: str, value: str) -> str:
    """Returns `value` if it may stand in a subject: 1 to 63 of `A-Z a-z 0-9 _ -`, first a letter or digit.

    Raises:
        RejectedError: `name.invalid`.
    """
    if not is_name(value):
        raise RejectedError(
            f"{kind} name {value!r} is not valid",
            code="name.invalid",
            hint="use 1 to 63 letters, digits, '-' or '_', starting with a letter or digit",
        )
    return value


def stream(workspace: str, deployment: str) -> str:
    """Name of the JetStream stream that is a deployment's log."""
    return f"TW_{workspace}_{deployment}"


def everything(workspace: str, deployment: str) -> str:
    """Wildcard over every subject of a deployment log."""
    return f"tw.{workspace}.{deployment}.>"


def port(workspace: str, deployment: str, vertex: str, port_name: str) -> str:
    """Subject that a vertex, or one partition of one, writes one port to."""
    name, number = partition_of(vertex)
    return f"tw.{workspace}.{deployment}.v.{name}.{port_name}.{number}"


def outside(workspace: str, deployment: str) -> tuple[str, str]:
    """Wildcards over what comes in from outside, and over what goes out."""
    return f"tw.{workspace}.{deployment}.in.>", f"tw.{workspace}.{deployment}.out.>"


def vertex_prefix(workspace: str, deployment: str, vertex: str) -> str:
    """Wildcard over all that a vertex, or one partition of one, writes: the fence of its commits."""
    return port(workspace, deployment, vertex, "*")


def inlet(workspace: str, deployment: str, vertex: str) -> str:
    """Subject of an input endpoint: anyone publishes bare msgpack values to it."""
    return f"tw.{workspace}.{deployment}.in.{vertex}.{IN_ENDPOINT}"


def again(workspace: str, deployment: str, vertex: str) -> str:
    """Subject of dead letters that are given again to a vertex, or dropped; written by the coordinator only."""
    name, number = partition_of(vertex)
    return f"tw.{workspace}.{deployment}.again.{name}.{number}"


def outlet(workspace: str, deployment: str, vertex: str) -> str:
    """Subject of an output endpoint: bare msgpack values, written by its vertex only."""
    return f"tw.{workspace}.{deployment}.out.{vertex}.{OUT_ENDPOINT}"


def all_outlets(workspace: str, deployment: str) -> str:
    """Wildcard over all output endpoints of a deployment."""
    return f"tw.{workspace}.{deployment}.out.>"


def all_of_vertex(workspace: str, deployment: str, vertex: str) -> list[str]:
    """Wildcards over all that belongs to a vertex: what it writes, what is written to it from outside, or again."""
    ends = (f"tw.{workspace}.{deployment}.{side}.{vertex}.>" for side in ("in", "out"))
    own = [vertex_prefix(workspace, deployment, vertex), again(workspace, deployment, vertex)]
    return [*own, *(ends if not partition_of(vertex)[1] else ())]


def all_vertices(workspace: str, deployment: str) -> str:
    """Wildcard over all that the vertices of a deployment write."""
    return f"tw.{workspace}.{deployment}.v.>"


def parse_port(subject: str) -> tuple[str, str] | None:
    """Vertex (or partition of one) and port of a subject of a vertex, or None for any other subject."""
    parts = subject.split(".")
    return (partition_name(parts[4], int(parts[6])), parts[5]) if len(parts) == 7 and parts[3] == "v" else None


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject is among those of a pattern: `*` for a token, `>` for all that follow."""
    wanted, given = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted, given = wanted[:-1], given[: len(wanted) - 1] if len(given) >= len(wanted) else []
    return len(wanted) == len(given) and all(one in ("*", other) for one, other in zip(wanted, given, strict=True))


def moved(subject: str, workspace: str, deployment: str) -> str:
    """A subject of a deployment as another one would have it."""
    return f"tw.{workspace}.{deployment}.{subject.split('.', 3)[3]}"


def api(workspace: str, resource: str, verb: str) -> str:
    """Request subject of the coordinator's API."""
    return f"tw.{workspace}.api.{resource}.{verb}"


def log(workspace: str, deployment: str, vertex: str) -> str:
    """Subject of a vertex's structured log records."""
    return f"tw.{workspace}.log.{deployment}.{vertex}"


def all_logs(workspace: str, deployment: str = "*") -> str:
    """Wildcard over the log records of every vertex of a deployment; of all deployments without a name."""
    return f"tw.{workspace}.log.{deployment}.*"


def parse_log(subject: str) -> tuple[str, str] | None:
    """(deployment, vertex) of a subject of log records, or None for any other subject."""
    parts = subject.split(".")
    return (parts[3], parts[4]) if len(parts) == 5 and parts[2] == "log" else None


def logs_stream(workspace: str) -> str:
    """Name of the stream of all log records of a workspace; no deployment can be called `log`."""
    return f"TW_{workspace}_log"


def deployments_bucket(workspace: str) -> str:
    """Name of the JetStream key-value bucket that holds deployments: key `<deployment>` is a DeploymentSpec."""
    return f"TW_{workspace}_deployments"


BUCKETS = (
    "artifacts",
    "captures",
    "deployments",
    "endpoints",
    "evidence",
    "holds",
    "lead",
    "leases",
    "releases",
    "reports",
    "secrets",
)


def bucket(workspace: str, kind: str) -> str:
    """Name of a key-value bucket of the workspace.

    Args:
        workspace: whose.
        kind: `artifacts` (records: a key is the artifact's 64 hex digits for a file that was put, or these, a dot and a token for
            each run that left the file), `secrets` (sealed, by name), `releases` (see `release_key`), `reports` and `evidence`
            (by deployment), `leases` (by id), `holds` and `captures` (see `thalweg.bus`), `lead`, `endpoints`
            (see `thalweg.wire.endpoints`). Keys of artifacts, reports and evidence that a lease owns: see `owned_key`.
    """
    return f"TW_{workspace}_{kind}"


def owned_key(key: str, lease: str) -> str:
    """A key in a bucket that has several owners' side by side; the workspace's for no lease."""
    return f"{key}.{lease}" if lease else key


def operations_stream(workspace: str) -> str:
    """Name of the stream of all operation logs."""
    return f"TW_{workspace}_ops"


def operations(workspace: str, backend: str = "*") -> str:
    """Subject of a backend's operation log; of all without a name."""
    return f"tw.{workspace}.ops.{backend}"


def release_key(full_name: str) -> str:
    """Key of a release's record in its bucket: `name@version` with `.` and `=` in place of `@` and `+`, which keys cannot hold."""
    name, _, version = full_name.partition("@")
    return f"{name}.{version.replace('+', '=')}"
