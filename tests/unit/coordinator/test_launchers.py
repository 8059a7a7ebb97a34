"""Launchers are made when they are needed, and nothing is decided by one that cannot see; what Docker tells is read as shells say it."""

from __future__ import annotations

import pytest

from thalweg.errors import RejectedError, UnreachableError
from thalweg.settings import Settings, child_environment
from thalweg_coordinator.containers import DockerLauncher, Seen, environment_of
from thalweg_coordinator.launchers import Launchers
from thalweg_coordinator.launching import Launcher, StaticLauncher


class Shy(StaticLauncher):
    """Sees only sometimes."""

    def __init__(self) -> None:
        self.sees, self.looks = True, 0

    def observe(self) -> None:
        self.looks += 1
        if not self.sees:
            raise UnreachableError("away", code="launcher.unreachable")


def test_a_launcher_is_made_once_and_has_looked_before_it_is_used() -> None:
    made = list[Shy]()

    def make(settings: Settings) -> Launcher:
        made.append(Shy())
        return made[-1]

    launchers = Launchers(Settings(launcher="docker"), {"docker": make, "process": lambda _: StaticLauncher()})
    assert launchers.made() == {}
    launchers.open_known(with_usual=False)
    assert launchers.made().keys() == {"process"}
    launchers.open_known(with_usual=True)
    assert launchers.of("docker") is launchers.sighted("docker") is made[0]
    assert len(made) == 1 and made[0].looks == 1 and launchers.made().keys() == {"process", "docker"}


def test_nothing_is_decided_by_a_launcher_that_cannot_see_what_runs() -> None:
    shy = Shy()
    launchers = Launchers(Settings(), {"docker": lambda _: shy})
    launchers.of("docker")
    shy.sees = False
    with pytest.raises(UnreachableError, match="away"):
        launchers.observe("docker")
    with pytest.raises(UnreachableError, match="what launcher docker runs is not known"):
        launchers.sighted("docker")
    shy.sees = True
    launchers.observe("docker")
    assert launchers.sighted("docker") is shy


def test_a_launcher_that_cannot_be_used_is_asked_for_again() -> None:
    tries = list[int]()

    def refuse(settings: Settings) -> Launcher:
        tries.append(1)
        raise RejectedError("not here", code="launcher.unavailable")

    launchers = Launchers(Settings(), {"docker": refuse})
    for _ in range(2):
        with pytest.raises(RejectedError, match="not here"):
            launchers.of("docker")
    assert len(tries) == 2


def test_an_engine_that_is_away_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    with pytest.raises(UnreachableError, match="the Docker engine does not answer") as away:
        DockerLauncher(Settings())
    assert away.value.hint is not None and "DOCKER_HOST" in away.value.hint


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [("running", "Up 3 seconds (healthy)", None), ("paused", "Up 3 seconds (Paused)", None), ("exited", "Exited (4) 2 minutes ago", 4)],
)
def test_a_container_is_read_from_what_the_engine_lists(state: str, status: str, code: int | None) -> None:
    labels = {"thalweg.generation": "3", "thalweg.drains": "1"}
    assert Seen.of({"Id": "a1", "State": state, "Status": status, "Labels": labels}) == Seen("a1", 3, True, code)


def test_a_container_that_was_made_and_not_started_is_made_again() -> None:
    labels = {"thalweg.generation": "1", "thalweg.drains": "0"}
    assert Seen.of({"Id": "a1", "State": "created", "Status": "Created", "Labels": labels}).code == -9


def test_a_container_is_told_no_key_that_it_does_not_need_and_nothing_of_this_place(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"THALWEG_SECRET_KEY": "a", "THALWEG_S3_SECRET_KEY": "b", "THALWEG_DATA": "/here", "THALWEG_ALIVE_FILE": "/x", "HOME": "/root"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = Settings(nats_url="nats://nats:4222", s3_endpoint="http://s3:8333")
    assert not {*given} & {*environment_of(settings, with_store=False)}
    found = environment_of(settings, with_store=True)
    assert {*given} & {*found} == {"THALWEG_S3_SECRET_KEY"} and found["THALWEG_S3_ENDPOINT"] == "http://s3:8333"
    assert "THALWEG_ALIVE_FILE" not in child_environment(with_store=True)
