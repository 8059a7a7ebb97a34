"""Where generated files are saved, and what is never replaced."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from thalweg.artifacts import Store
from thalweg.artifacts.digests import digest_of
from thalweg.errors import RejectedError
from thalweg.wire.commit import Commit, Generated
from thalweg_cli.saving import check_out, save


class _Fetched:
    """Stands for a store whose artifacts lie in one folder already."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fetch(self, artifact: str, name: str) -> Path:
        return self.path


def _save(source: Path, out: Path) -> None:
    artifact = digest_of(source)
    commit = Commit(1, 1, generated={"slot": Generated("result", artifact.id, artifact.size_bytes)})
    save(cast(Store, _Fetched(source)), {"vertex": commit}, out)


def _directory(path: Path, **files: str) -> Path:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def _rejected(out: Path) -> str:
    with pytest.raises(RejectedError) as caught:
        check_out(out, ["result"])
    assert caught.value.exit_code == 3
    return caught.value.code


def test_a_result_of_a_former_run_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    check_out(out, ["result"])
    assert not out.parent.exists()
    _save(_directory(tmp_path / "first", a="1", b="2"), out)
    check_out(out, ["result"])
    _save(_directory(tmp_path / "second", a="3"), out)
    assert [(path.name, path.read_text()) for path in (out / "result").iterdir()] == [("a", "3")]
    assert sorted(path.name for path in out.iterdir()) == [".thalweg.json", "result"]


def test_a_directory_of_the_user_is_left_alone(tmp_path: Path) -> None:
    mine = _directory(tmp_path / "out" / "result", mine="kept")
    assert _rejected(tmp_path / "out") == "out.not_ours"
    with pytest.raises(RejectedError):
        _save(_directory(tmp_path / "new", a="1"), tmp_path / "out")
    assert (mine / "mine").read_text() == "kept"


def test_a_result_that_the_user_has_added_to_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    _save(_directory(tmp_path / "first", a="1"), out)
    (out / "result" / "notes").write_text("mine")
    assert _rejected(out) == "out.not_ours"


def test_a_file_is_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("new")
    (tmp_path / "result").write_text("old")
    check_out(tmp_path, ["result"])
    _save(tmp_path / "source", tmp_path)
    assert (tmp_path / "result").read_text() == "new"


def test_an_out_that_is_a_file_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    assert _rejected(tmp_path / "out") == "out.not_writable"
    assert _rejected(tmp_path / "out" / "below") == "out.not_writable"


def test_an_out_that_cannot_be_written_is_rejected() -> None:
    assert _rejected(Path("/proc/out")) == "out.not_writable"
