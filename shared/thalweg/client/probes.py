"""Tries the outside connections of vertices, each in a process of its own, as it would run as a vertex."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from pydantic import ValidationError

from thalweg.api.probes import PROBES_TIMEOUT_S, Connection, Probing
from thalweg.published.environment import end_group
from thalweg.settings import child_environment

PROBE_TIMEOUT_S = 15.0
SIDE_BY_SIDE = 8
MAX_ANSWER_BYTES = 65_536


def run_probes(
    vertices: Iterable[tuple[Probing, Mapping[str, str]]], environment: Mapping[str, str], timeout_s: float = PROBE_TIMEOUT_S
) -> list[Connection]:
    """How the connections of vertices are, in order. Blocking, for a minute at most.

    Args:
        vertices: each with the values of its secrets by slot; they are handed over by a pipe.
        environment: variables that tell the processes where the file store is.
        timeout_s: for each of them.
    """
    end = time.monotonic() + PROBES_TIMEOUT_S
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="probe") as pool:
        tried = [pool.submit(_try, one, secrets, environment, timeout_s, end) for one, secrets in vertices]
        return [one.result() for one in tried]


def _try(vertex: Probing, secrets: Mapping[str, str], environment: Mapping[str, str], timeout_s: float, end: float) -> Connection:
    left_s = min(timeout_s, end - time.monotonic())
    if left_s <= 0:
        return _failed(vertex, "there was no time left to try it", "probe.timed_out")
    process = subprocess.Popen(
        [sys.executable, "-m", "thalweg_vertex.probe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**child_environment(with_store=bool(vertex.archive)), **environment, "PYTHONSAFEPATH": "1"},
    )
    try:
        said, _ = process.communicate(json.dumps({"probing": vertex.model_dump(), "secrets": dict(secrets)}).encode(), timeout=left_s)
        return Connection.model_validate_json(said[:MAX_ANSWER_BYTES])
    except subprocess.TimeoutExpired:
        return _failed(vertex, f"no answer within {left_s:.0f} s", "probe.timed_out")
    except ValidationError:
        return _failed(vertex, f"the process that tries it ended with exit code {process.poll()}", "probe.died")
    finally:
        end_group(process)


def _failed(vertex: Probing, reason: str, code: str) -> Connection:
    return Connection(vertex=vertex.vertex, component=vertex.component, outcome="unreachable", reason=reason, code=code)
