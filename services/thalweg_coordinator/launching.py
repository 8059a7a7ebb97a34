"""What a launcher is: it runs the vertices of deployments, outlives the coordinator that asked for them, and finds them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from thalweg_coordinator.restarts import Restarts
from thalweg_coordinator.statuses import Usage


class Launcher(Protocol):
    """Runs vertices of one workspace.

    What is asked about what runs (`exit_code`, `restarts`, `knows`, `generation`, `drains`, `vertices`, `deployments`) is as the last
    `observe` found it, and what was done here since; it does not block. All else may block, and is called from threads.

    Attributes:
        is_kept: something else keeps its vertices running, and they heed the spec by themselves (`--kept`): nobody signals them.
    """

    @property
    def is_kept(self) -> bool: ...

    def observe(self) -> None:
        """Looks at what runs; called before every round of decisions. Raises UnreachableError when it cannot be known."""

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
        """Starts a vertex in place of an earlier copy that has ended; harmless while it runs.

        Args:
            deployment, vertex: which.
            generation: of the vertex in the stored spec now.
            drains: whether the spec desires that the deployment drains.
            secrets: value per slot.
            with_store: whether it uses the file store.
            keeps_files: whether its next copy needs the files that it has beside the log.

        Raises:
            RejectedError: it can never be started so.
            UnreachableError: not now.
        """

    def exit_code(self, deployment: str, vertex: str) -> int | None:
        """None while the vertex runs; else its exit code, negative for the signal that killed it."""

    def restarts(self, deployment: str, vertex: str) -> Restarts | None:
        """How often whoever keeps the vertex has started it again; None where that is not known."""

    def knows(self, deployment: str, vertex: str) -> bool:
        """Whether the vertex was ever started, and not forgotten since."""

    def generation(self, deployment: str, vertex: str) -> int:
        """What a known vertex was started as."""

    def drains(self, deployment: str, vertex: str) -> bool:
        """Whether a known vertex was started to drain: it ends by itself, and would die of a signal that comes too early."""

    def signal(self, deployment: str, vertex: str, number: int) -> int | None:
        """Sends a signal to a vertex that runs; a number for this life of it, None where it does not run. Signal 0 only asks."""

    def usage(self, deployment: str) -> dict[str, Usage]:
        """What the vertices of a deployment use, as far as it is known."""

    def forget(self, deployment: str, vertex: str) -> None:
        """Forgets a vertex that has ended, or ends one that nobody can signal."""

    def vertices(self, deployment: str) -> list[str]:
        """Known vertices of a deployment."""

    def stop(self, deployment: str) -> None:
        """Ends every vertex of a deployment and forgets them; bounded, idempotent."""

    def deployments(self) -> list[str]:
        """Deployments of known vertices."""

    def log_tail(self, deployment: str, vertex: str) -> list[str]:
        """The last lines of a vertex's output."""

    def clear(self, deployment: str, vertex: str | None = None) -> None:
        """Removes what vertices that have ended keep beside the log: of one, or of all of the deployment. Idempotent."""


class StaticLauncher:
    """Starts nothing: Compose, or whoever applies manifests, runs the vertices."""

    is_kept = True

    def observe(self) -> None:
        """Nothing is known."""

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
        """Somebody else does."""

    def exit_code(self, deployment: str, vertex: str) -> int | None:
        """None: it is somebody else's."""
        return None

    def restarts(self, deployment: str, vertex: str) -> Restarts | None:
        """Not known: claims on the log tell."""
        return None

    def knows(self, deployment: str, vertex: str) -> bool:
        """True, so that none is started."""
        return True

    def generation(self, deployment: str, vertex: str) -> int:
        """Not known."""
        return 0

    def drains(self, deployment: str, vertex: str) -> bool:
        """Not known."""
        return False

    def signal(self, deployment: str, vertex: str, number: int) -> int | None:
        """None: nobody is signalled."""
        return None

    def usage(self, deployment: str) -> dict[str, Usage]:
        """Not known."""
        return {}

    def forget(self, deployment: str, vertex: str) -> None:
        """Nothing to forget."""

    def vertices(self, deployment: str) -> list[str]:
        """None."""
        return []

    def stop(self, deployment: str) -> None:
        """Vertices end themselves when their deployment is gone."""

    def deployments(self) -> list[str]:
        """None."""
        return []

    def log_tail(self, deployment: str, vertex: str) -> list[str]:
        """Not known."""
        return []

    def clear(self, deployment: str, vertex: str | None = None) -> None:
        """Not ours."""
