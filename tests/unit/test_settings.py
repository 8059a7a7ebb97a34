"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thalweg.bus.connection import Client, sync_of
from thalweg.errors import UsageError
from thalweg.settings import EMBEDDED_NATS, load_settings


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("THALWEG_")]:
        monkeypatch.delenv(name)


def test_without_anything_the_embedded_stack_is_meant() -> None:
    settings = load_settings()
    assert (settings.nats_url, settings.s3_endpoint, settings.data) == (None, None, Path(".thalweg"))


def test_options_go_before_the_environment_which_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("thalweg.toml").write_text('workspace = "file"\ns3_bucket = "file"\nnats_url = "nats://file"\n')
    monkeypatch.setenv("THALWEG_WORKSPACE", "environment")
    monkeypatch.setenv("THALWEG_S3_BUCKET", "environment")
    settings = load_settings(workspace="option", nats_url=None)
    assert (settings.workspace, settings.s3_bucket, settings.nats_url) == ("option", "environment", "nats://file")


def test_component_paths_are_joined_like_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_COMPONENTS", os.pathsep.join(["one", "two"]))
    assert load_settings().components == (Path("one"), Path("two"))


@pytest.mark.parametrize("text", ["workspace = 7\n", "unknown = 1\n", "not toml"])
def test_a_wrong_file_is_a_usage_error(text: str) -> None:
    Path("thalweg.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert caught.value.code == "settings.invalid"


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_S3_SECRET_KEY", "not-for-eyes")
    assert "not-for-eyes" not in repr(load_settings())


@pytest.mark.parametrize(
    ("server", "declared", "told"),
    [
        (EMBEDDED_NATS, None, "always"),
        (EMBEDDED_NATS, "lazy", "always"),  # whose settings are ours
        ("nats", "always", "declared-always"),
        ("nats", "lazy", "declared-lazy"),
        ("nats", None, "unknown"),
    ],
)
def test_whether_a_server_syncs_is_known_of_our_own_and_declared_of_others(
    server: str, declared: str | None, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if declared is not None:
        monkeypatch.setenv("THALWEG_NATS_SYNC", declared)
    client = Client()
    client._server_info = {"server_name": server}
    assert sync_of(client, load_settings().nats_sync) == told


def test_a_server_cannot_be_declared_as_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_NATS_SYNC", "sometimes")
    with pytest.raises(UsageError, match=r"nats_sync: Input should be 'always' or 'lazy'"):
        load_settings()


def test_replicas_are_a_number_that_a_cluster_can_agree_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_REPLICAS", "3")
    assert load_settings().replicas == 3
    for wrong in ("0", "2", "three", ""):
        monkeypatch.setenv("THALWEG_REPLICAS", wrong)
        with pytest.raises(UsageError, match="replicas"):
            load_settings()
