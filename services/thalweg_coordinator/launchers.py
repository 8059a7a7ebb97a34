"""The launchers of a coordinator: each is made when a deployment first needs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock

from thalweg.errors import ThalwegError, UnreachableError
from thalweg.launching import LauncherName
from thalweg.settings import Settings
from thalweg_coordinator.forking import Forks
from thalweg_coordinator.launching import Launcher, StaticLauncher
from thalweg_coordinator.processes import ProcessLauncher
from thalweg_coordinator.statuses import Usage


def _docker(settings: Settings) -> Launcher:
    from thalweg_coordinator.containers import DockerLauncher  # not earlier: docker is an extra

    return DockerLauncher(settings)


def _kubernetes(settings: Settings) -> Launcher:
    from thalweg_coordinator.kubernetes import Cluster, KubernetesLauncher  # not earlier: httpx is an extra

    return KubernetesLauncher(settings, Cluster.around())


def makers(forks: Forks) -> Mapping[LauncherName, Callable[[Settings], Launcher]]:
    """How each launcher is made; processes are forked by `forks`."""
    return {
        "process": lambda settings: ProcessLauncher(settings.data / "vertices", settings.data / "logs", settings.data / "scratch", forks),
        "docker": _docker,
        "kubernetes": _kubernetes,
        "static": lambda settings: StaticLauncher(),
    }


class Launchers:
    """Launchers by name.

    Args:
        settings: where they work.
        makers: how each is made.
    """

    def __init__(self, settings: Settings, makers: Mapping[LauncherName, Callable[[Settings], Launcher]]) -> None:
        self._settings, self._makers = settings, makers
        self._made: dict[LauncherName, Launcher] = {}
        self._making = Lock()
        self._blind = set[LauncherName]()  # those that could not look at what runs

    @property
    def usual(self) -> LauncherName:
        """That of deployments which do not say."""
        return self._settings.launcher

    def open_known(self, *, with_usual: bool) -> None:
        """Makes those that may know of vertices which another coordinator has started. Blocking; raises as `of`.

        Args:
            with_usual: also the usual one; a run's vertices are processes whatever is usual.
        """
        for name in dict.fromkeys(("process", *((self.usual,) if with_usual else ()))):
            self.of(name)

    def of(self, name: LauncherName) -> Launcher:
        """One of them. Blocking.

        Raises:
            RejectedError: `launcher.unavailable`, it cannot be used here.
            UnreachableError: `launcher.unreachable`, what it works with does not answer.
        """
        with self._making:
            if name not in self._made:
                made = self._makers[name](self._settings)
                made.observe()  # before anything is decided by what it knows
                self._made[name] = made
            return self._made[name]

    def observe(self, name: LauncherName) -> None:
        """Lets one that is in use look at what runs; until it can, nothing is decided. Blocking; raises as `Launcher.observe`."""
        self._blind.add(name)
        self._made[name].observe()
        self._blind.discard(name)

    def sighted(self, name: LauncherName) -> Launcher:
        """One that knows what runs. Blocking; raises as `of`, and UnreachableError (`launcher.blind`) where it could not look."""
        launcher = self.of(name)
        if name in self._blind:
            raise UnreachableError(f"what launcher {name} runs is not known now", code="launcher.blind")
        return launcher

    def made(self) -> dict[LauncherName, Launcher]:
        """Those that are in use."""
        return dict(self._made)

    def usage(self, deployment: str) -> dict[str, Usage]:
        """What vertices use, whoever has launched them, as far as it is known. Blocking."""
        found: dict[str, Usage] = {}
        for launcher in self.made().values():
            with suppress(ThalwegError):
                found |= launcher.usage(deployment)
        return found
