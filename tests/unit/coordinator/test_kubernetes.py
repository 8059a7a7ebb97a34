"""The kubernetes launcher's calls, against a stand-in that checks every body by Kubernetes' schemas; no cluster is there to run pods."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from thalweg.errors import RejectedError, UnreachableError
from thalweg.settings import Settings
from thalweg_coordinator import kubernetes
from thalweg_coordinator.kubernetes import Cluster, KubernetesLauncher
from thalweg_coordinator.restarts import Restarts
from unit.coordinator.api_server import ApiServer, serving


@pytest.fixture
def account(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("flows")
    return tmp_path


@pytest.fixture
def place(account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ApiServer, KubernetesLauncher]]:
    monkeypatch.setattr(kubernetes, "LOOK_S", 0.0)
    with serving() as (server, url):
        launcher = KubernetesLauncher(Settings(vertex_image="registry.example/thalweg:1"), Cluster(url, account))
        yield server, launcher
        launcher.close()


def test_a_vertex_is_started_found_again_and_ended_with_all_that_belongs_to_it(place: tuple[ApiServer, KubernetesLauncher]) -> None:
    server, launcher = place
    for vertex in ("a", "b", "c"):
        launcher.start("flow", vertex, secrets={"token": "s3cret"} if vertex == "a" else None, keeps_files=False)
    assert [one["metadata"]["namespace"] for one in server.of_kind("StatefulSet")] == ["flows"] * 3
    (secret,) = server.of_kind("Secret")
    assert base64.b64decode(secret["data"]["token"]) == b"s3cret"
    launcher.observe()
    assert launcher.vertices("flow") == ["a", "b", "c"] and launcher.deployments() == ["flow"]
    launcher.stop("flow")
    assert server.of_kind("Secret") == server.of_kind("ConfigMap") == []
    launcher.observe()
    assert launcher.knows("flow", "a")  # its pod drains
    server.reap()
    launcher.observe()
    assert launcher.deployments() == []


def test_starting_again_changes_nothing_and_names_do_not_collide(place: tuple[ApiServer, KubernetesLauncher]) -> None:
    server, launcher = place
    for deployment, vertex in (("a-b", "c"), ("a", "b-c"), ("A-b", "c"), ("x" * 63, "Y_" * 31), ("a-b", "c")):
        launcher.start(deployment, vertex)
    names = [one["metadata"]["name"] for one in server.of_kind("StatefulSet")]
    assert len(names) == len({*names}) == 4
    assert all(len(name) <= 52 for name in names)


def test_one_vertex_is_ended_once_and_is_known_until_its_pod_is_gone(place: tuple[ApiServer, KubernetesLauncher]) -> None:
    server, launcher = place
    launcher.start("flow", "a")
    launcher.start("flow", "b")
    for _ in range(3):
        launcher.forget("flow", "a")
        launcher.observe()
    assert launcher.vertices("flow") == ["a", "b"]
    assert len([path for method, path in server.calls if method == "DELETE" and "/statefulsets/" in path]) == 1
    server.reap()
    launcher.observe()
    assert launcher.vertices("flow") == ["b"]


def test_restarts_are_those_of_its_pod_with_the_exit_code_of_its_last_end(place: tuple[ApiServer, KubernetesLauncher]) -> None:
    server, launcher = place
    for vertex in "abc":
        launcher.start("flow", vertex)
    launcher.observe()
    assert launcher.restarts("flow", "a") is None
    server.add_pod("tw-flow-a-", {"restartCount": 0, "state": {"running": {}}})
    server.add_pod("tw-flow-b-", {"restartCount": 3, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137}}})
    server.add_pod("tw-flow-c-", None)
    launcher.observe()
    assert launcher.restarts("flow", "a") == Restarts(0, None)
    assert launcher.restarts("flow", "b") == Restarts(3, -9)
    assert launcher.restarts("flow", "c") is None


def test_only_a_vertex_that_keeps_files_has_a_volume_and_clearing_deletes_it(place: tuple[ApiServer, KubernetesLauncher]) -> None:
    server, launcher = place
    launcher.start("flow", "a", keeps_files=True)
    launcher.start("flow", "b", keeps_files=False)
    assert ["volumeClaimTemplates" in one["spec"] for one in server.of_kind("StatefulSet")] == [True, False]
    launcher.clear("flow", "a")
    assert server.calls[-1] == ("DELETE", "/api/v1/namespaces/flows/persistentvolumeclaims")


def test_the_token_is_read_anew_and_refusals_are_told_in_words(place: tuple[ApiServer, KubernetesLauncher], account: Path) -> None:
    server, launcher = place
    server.token = "second"
    with pytest.raises(RejectedError, match="Unauthorized"):
        launcher.observe()
    (account / "token").write_text("second")
    launcher.observe()
    server.refusal = 403
    with pytest.raises(RejectedError, match="it is forbidden") as refused:
        launcher.start("flow", "a")
    assert refused.value.hint is not None and "role" in refused.value.hint
    server.refusal = 503
    with pytest.raises(UnreachableError):
        launcher.observe()


def test_a_server_that_is_away_and_a_place_outside_of_a_cluster_are_told(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = KubernetesLauncher(Settings(), Cluster("http://127.0.0.1:9", account))
    with pytest.raises(UnreachableError, match="does not answer"):
        launcher.observe()
    launcher.close()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(RejectedError, match="does not run in a cluster"):
        Cluster.around()
