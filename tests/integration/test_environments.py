"""Environments of releases with requirements of their own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from integration.releasing import upload, write
from thalweg.artifacts import Store
from thalweg.errors import RejectedError
from thalweg.published import Environments
from thalweg.settings import Settings
from thalweg.wire.spec import VertexSpec
from thalweg_vertex.releases import ElsewhereError, prepare


@pytest.mark.usefixtures("index")
def test_an_environment_is_made_once_and_sees_what_thalweg_sees(tmp_path: Path) -> None:
    environments = Environments(tmp_path / "environments")
    wanted = ["tiny-shift-of-tests==1.0"]
    with ThreadPoolExecutor() as pool:
        pythons = set(pool.map(environments.python_for, [wanted] * 3))
    assert len(pythons) == 1 and environments.python_for([]) == sys.executable
    code = "import thalweg, pydantic, tiny_shift_of_tests as one; print(one.SHIFT, one.__file__)"
    shown = subprocess.run([*pythons, "-c", code], capture_output=True, text=True, timeout=60, check=True).stdout
    assert shown.startswith(f"7 {tmp_path / 'environments'}")


@pytest.mark.usefixtures("index")
def test_an_environment_that_cannot_be_made_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    hashed = [f"tiny-shift-of-tests==1.0 --hash=sha256:{'0' * 64}"]
    for requirements, timeout_s, said in ((hashed, 60.0, "DO NOT MATCH THE HASHES"), (["tiny-shift-of-tests"], 0.0, "takes too long")):
        with pytest.raises(RejectedError, match=said) as refused:
            Environments(tmp_path / "environments", timeout_s).python_for(requirements)
        assert refused.value.code == "release.environment"
    assert not [one for one in (tmp_path / "environments").iterdir() if one.is_dir()]


@pytest.mark.usefixtures("index")
def test_a_vertex_looks_at_the_archive_before_anything_else(settings: Settings, store: Store, tmp_path: Path) -> None:
    folder = write(tmp_path / "a", "numbers-x", more="raise SystemExit")
    spec = VertexSpec("x", "numbers-x@1.0.0", "", "main.py", "source", archive=upload(store, folder))
    found = prepare(settings, spec)
    assert found is not None and (found / "main.py").exists()
    with pytest.raises(RejectedError) as refused:
        prepare(settings, msgspec.structs.replace(spec, archive="sha256:" + "0" * 64))
    assert refused.value.code == "artifact.unknown"
    (folder / "requirements.txt").write_text("tiny-shift-of-tests\n")
    with pytest.raises(ElsewhereError) as elsewhere:
        prepare(settings, msgspec.structs.replace(spec, archive=upload(store, folder)))
    assert elsewhere.value.python.startswith(str(settings.data / "environments"))
