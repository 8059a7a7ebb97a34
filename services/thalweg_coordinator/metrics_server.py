"""Serves the metrics of a coordinator to Prometheus; everything is looked up when it is asked for."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from thalweg.errors import RejectedError, RunFailedError, ThalwegError, UnreachableError, UsageError
from thalweg_coordinator.metrics import Snapshot, families

CACHED_S = 1.0
LOOK_TIMEOUT_S = 8.0  # Prometheus itself gives up after ten by default
_OUTCOMES = {UsageError: "usage", RejectedError: "rejected", RunFailedError: "failed", UnreachableError: "unreachable"}
_log = logging.getLogger("thalweg.coordinator")


class MetricsServer(Collector):
    """Made and closed by the coordinator; serves on threads of its own, and looks on the coordinator's loop.

    Args:
        look: makes a snapshot.
    """

    def __init__(self, look: Callable[[], Awaitable[Snapshot]]) -> None:
        self._look, self._loop = look, asyncio.get_running_loop()
        self._changing = threading.Lock()
        self._last: tuple[float, Snapshot] | None = None
        self._server: tuple[WSGIServer, threading.Thread] | None = None
        self._registry = CollectorRegistry()
        self._calls = Counter(
            "thalweg_api_calls", "Calls answered by this coordinator.", ["resource", "verb", "outcome"], registry=self._registry
        )
        self._reconciles = Histogram(
            "thalweg_coordinator_reconcile_seconds", "How long it takes to look after all deployments once.", registry=self._registry
        )
        ProcessCollector(registry=self._registry)
        self._registry.register(self)

    def open(self, host: str, port: int) -> None:
        """Begins to serve.

        Raises:
            RejectedError: `metrics.port`, the port or the address cannot be had.
        """
        try:
            self._server = start_http_server(port, host, self._registry)
        except (OSError, OverflowError) as error:
            what = f"metrics cannot be served on {host}:{port}: {getattr(error, 'strerror', None) or error}"
            raise RejectedError(what, code="metrics.port", hint="THALWEG_METRICS_PORT says which port, 0 none") from error
        _log.info("metrics on http://%s:%d/metrics", host, port)

    def close(self) -> None:
        """Ends it. Blocking, for a moment; call it on a thread while the loop runs, since a scrape may wait for that."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()

    def count_call(self, resource: str, verb: str, error: ThalwegError | None) -> None:
        """Counts an answered call."""
        outcome = "ok" if error is None else _OUTCOMES.get(type(error), "error")
        self._calls.labels(resource, verb, outcome).inc()

    def note_reconcile(self, seconds: float) -> None:
        """Notes how long a reconcile took."""
        self._reconciles.observe(seconds)

    def describe(self) -> Iterable[Metric]:
        """Nothing: or the registry would look when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """On a thread of the server; without the deployments where they cannot be read, so that the rest is told."""
        with self._changing:  # several who ask at once share a look
            if self._last is None or time.monotonic() - self._last[0] > CACHED_S:
                self._last = None
                self._last = time.monotonic(), self._looked()
            return list(families(self._last[1]))

    def _looked(self) -> Snapshot:
        future: Future[Snapshot] = asyncio.run_coroutine_threadsafe(self._timed_look(), self._loop)
        return future.result(LOOK_TIMEOUT_S + 1)

    async def _timed_look(self) -> Snapshot:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            return await self._look()
