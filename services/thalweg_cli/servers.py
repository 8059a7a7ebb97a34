"""The servers and the coordinator of one run."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from thalweg.access.issuer import Issuer
from thalweg.embedded import EmbeddedStack, ManagedProcess
from thalweg.errors import RejectedError
from thalweg.settings import Settings, child_environment
from thalweg_cli.leftovers import discard, private_home

_log = logging.getLogger("thalweg.cli")


@contextmanager
def servers_of_run(settings: Settings, name: str, keep: bool) -> Iterator[Settings]:
    """The servers of a run; those that are not given are brought up.

    A data folder has one owner. A run that finds it in use works in a folder of its own below, with servers of its own, so that
    neither run depends on how the other ends.

    Args:
        settings: the servers that are given, and the data folder.
        name: of the run's deployment.
        keep: leave such a folder as it is at the end.
    """
    if settings.nats_url is not None and settings.s3_endpoint is not None:
        yield settings
        return
    stack = _start_stack(settings, name)
    try:
        update = {"data": stack.data_dir, **_nats_of(settings, stack)}
        if settings.s3_endpoint is None:
            update |= {"s3_endpoint": stack.s3_endpoint, "s3_access_key": stack.s3_access_key, "s3_secret_key": stack.s3_secret_key}
        yield settings.model_copy(update=update)
    finally:
        stack.stop()
        if stack.data_dir != settings.data and not keep:
            discard(stack.data_dir)


def _nats_of(settings: Settings, stack: EmbeddedStack) -> dict[str, Any]:
    """The given server, or that of the stack, which is a single one."""
    return {"nats_url": stack.nats_url, "replicas": 1} if settings.nats_url is None else {"nats_url": settings.nats_url}


def _start_stack(settings: Settings, name: str) -> EmbeddedStack:
    stack = EmbeddedStack(settings.data)
    try:
        stack.start()
    except RejectedError as error:
        if error.code != "data.in_use":
            raise
        _log.info("%s: this run brings up its own servers", error)
        stack = EmbeddedStack(private_home(settings.data, name))
        stack.start()
    return stack


@contextmanager
def servers_of_data(settings: Settings) -> Iterator[Settings]:
    """The given servers, or those of the data folder: others do not have what the evidence names."""
    if settings.nats_url is not None and settings.s3_endpoint is not None:
        yield settings
        return
    with EmbeddedStack(settings.data) as stack:
        update = _nats_of(settings, stack)
        if settings.s3_endpoint is None:
            update |= {"s3_endpoint": stack.s3_endpoint, "s3_access_key": stack.s3_access_key, "s3_secret_key": stack.s3_secret_key}
        yield settings.model_copy(update=update)


@contextmanager
def coordinator_of_run(settings: Settings, name: str, secrets: Mapping[str, str]) -> Iterator[None]:
    """A coordinator that cares for one deployment alone, and has its secrets by a pipe.

    Raises:
        RejectedError: the issuer file cannot be used (`issuer.…`).
    """
    if settings.nats_issuer is not None:
        Issuer.load(settings.nats_issuer, settings.workspace)  # a coordinator that cannot would be started again and again
    (settings.data / "logs").mkdir(parents=True, exist_ok=True)
    process = ManagedProcess(
        "coordinator",
        [sys.executable, "-m", "thalweg_coordinator", "--only", name, "--secrets-on-stdin"],
        {**child_environment(with_store=True, with_access=True), **_environment(settings)},
        settings.data / "logs" / "coordinator.log",
        pid_path=settings.data / f"coordinator-{name}.pid",
        given=json.dumps(dict(secrets)).encode(),
    )
    process.start()
    try:
        yield
    finally:
        process.stop()


def _environment(settings: Settings) -> dict[str, str]:
    servers = ("nats_url", "nats_creds", "nats_ca", "nats_issuer", "replicas", "s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key")
    named = {f"THALWEG_{name.upper()}": getattr(settings, name) for name in (*servers, "workspace", "data")}
    return {name: str(value) for name, value in named.items() if value is not None} | {"PYTHONSAFEPATH": "1"}
