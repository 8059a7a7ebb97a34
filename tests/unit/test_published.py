"""Archives of releases, their requirements, the folder of a new component: what is taken, and what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from thalweg.errors import RejectedError
from thalweg.published import Environments, Sources, Workers, pack
from thalweg.published.archive import MAX_FILES, content_digest, unpack
from thalweg.published.requirements import read_requirements
from thalweg.published.testing import run_tests
from thalweg_cli.scaffold import scaffold

CODE = b"x = 1\n"


def tar(*members: tuple[str, bytes | str], kind: bytes = tarfile.REGTYPE, **fields: int) -> bytes:
    """A tar as somebody else would make it; text is a link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            if isinstance(content, str):
                entry.type, entry.linkname, content = kind, content, b""
            entry.size = len(content)
            for field, value in fields.items():
                setattr(entry, field, value)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def huge() -> bytes:
    entry = tarfile.TarInfo("main.py")
    entry.size = 1 << 40
    return entry.tobuf(tarfile.USTAR_FORMAT if entry.size < 8**11 else tarfile.GNU_FORMAT) + b"\0" * 1024


ATTACKS: dict[str, Callable[[], bytes]] = {
    "symlink": lambda: tar(("main.py", CODE), ("link.py", "/etc/passwd"), kind=tarfile.SYMTYPE),
    "hard link": lambda: tar(("main.py", CODE), ("link.py", "main.py"), kind=tarfile.LNKTYPE),
    "device": lambda: tar(("main.py", CODE), ("null", ""), kind=tarfile.CHRTYPE),
    "pipe": lambda: tar(("main.py", CODE), ("pipe", ""), kind=tarfile.FIFOTYPE),
    "folder": lambda: tar(("main.py", CODE), ("folder", ""), kind=tarfile.DIRTYPE),
    "..": lambda: tar(("../main.py", CODE)),
    ".. within": lambda: tar(("a/../../main.py", CODE)),
    "absolute": lambda: tar(("/tmp/main.py", CODE)),
    "backslash": lambda: tar(("..\\main.py", CODE)),
    "dot": lambda: tar(("./main.py", CODE)),
    "twice": lambda: tar(("main.py", CODE), ("main.py", b"y = 2\n")),
    "below a file": lambda: tar(("main.py", CODE), ("main.py/more.py", CODE)),
    "compiled": lambda: tar(("main.py", CODE), ("__pycache__/main.cpython-311.pyc", CODE)),
    "library": lambda: tar(("main.py", CODE), ("numpy.so", CODE)),
    "hidden": lambda: tar((".pth.py", CODE)),
    "line break": lambda: tar(("ma\nin.py", CODE)),
    "unsorted": lambda: tar(("b.py", CODE), ("a.py", CODE)),
    "times": lambda: tar(("main.py", CODE), mtime=1),
    "owners": lambda: tar(("main.py", CODE), uid=1000),
    "executable": lambda: tar(("main.py", CODE), mode=0o4755),
    "no code": lambda: tar(("data.bin", CODE)),
    "many": lambda: tar(*((f"f{n:05}.py", CODE) for n in range(MAX_FILES + 1))),
    "large": lambda: tar(("main.py", b"#" * 5_000_001)),
    "large in all": lambda: tar(*((f"f{n}.py", b"#" * 4_900_000) for n in range(5))),
    "bomb": lambda: gzip.compress(tar(("main.py", b"#" * 30_000_000))),
    "sparse": lambda: tar(("main.py", ""), kind=tarfile.GNUTYPE_SPARSE),
    "huge": huge,
    "cut": lambda: tar(("main.py", CODE))[:600],
    "more behind": lambda: tar(("main.py", CODE)) + b"more",
    "empty": lambda: b"",
    "none": lambda: b"no tar at all" * 100,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_archive_that_is_not_just_files_is_refused_and_writes_nothing(attack: str, tmp_path: Path) -> None:
    with pytest.raises(RejectedError) as refused:
        unpack(ATTACKS[attack](), tmp_path / "folder")
    assert refused.value.code == "release.archive"
    assert not list(tmp_path.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return scaffold("daily-swing", tmp_path)


def test_a_folder_has_one_archive_wherever_it_is_and_whenever_it_was_written(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder)
    for clutter in (".git", "__pycache__", ".venv"):
        (folder / clutter).mkdir()
        (folder / clutter / "x.py").write_text("no")
    (folder / "daily_swing.py").touch()
    (folder / "daily_swing.py").chmod(0o755)
    assert pack(folder) == archive
    unpack(archive, tmp_path / "copy")
    assert pack(tmp_path / "copy") == archive
    assert not list((tmp_path / "copy").glob("**/x.py"))


def test_a_folder_with_a_link_or_without_code_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "link.csv").symlink_to("/etc/passwd")
    (tmp_path / "empty").mkdir()
    for path in (folder, tmp_path / "empty", tmp_path / "nothing"):
        with pytest.raises(RejectedError) as refused:
            pack(path)
        assert refused.value.code == "release.archive"


def test_the_digest_covers_requirements_and_data_and_neither_notes_nor_tests(folder: Path) -> None:
    source = "sha256:" + "1" * 64
    assert content_digest(source, folder) == source
    (folder / "README.md").write_text("other")
    (folder / "test_daily_swing.py").write_text("other")
    assert content_digest(source, folder) == source
    (folder / "requirements.txt").write_text("idna==3.10\n")
    with_requirements = content_digest(source, folder)
    (folder / "names.txt").write_text("a")
    assert len({source, with_requirements, content_digest(source, folder)}) == 3


@pytest.mark.parametrize(
    "line",
    ["idna", "idna==3.10", "a[b,c]>=1,<2 ; python_version < '4'", f"idna==3.10 --hash=sha256:{'0' * 64}", "idna  # why"],
)
def test_requirements_are_packages_with_versions(line: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(f"# some\n{line}\n\n")
    assert read_requirements(tmp_path) == [line.partition("  #")[0]]


@pytest.mark.parametrize(
    "line",
    [
        "-r other.txt",
        "--index-url https://x.example",
        "-e .",
        "./folder",
        "idna @ https://x.example/idna.whl",
        "https://x.example/a.whl",
        "idna --global-option=x",
        "idna; python_version < '4' @ file:///x",
        "a.whl b",
    ],
)
def test_requirements_that_lead_elsewhere_are_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text(line)
    with pytest.raises(RejectedError) as refused:
        read_requirements(tmp_path)
    assert refused.value.code == "release.requirements"


def test_a_new_component_passes_its_own_test(folder: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "-c", "/dev/null", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert run_tests(folder, Environments(folder.parent / "environments"))[0]


@pytest.mark.parametrize("name", ["class", "json", "a b", "../x", "", "1st", "thalweg", "test-x", "x-test", "_x"])
def test_a_component_gets_no_name_that_its_module_cannot_have(name: str, tmp_path: Path) -> None:
    with pytest.raises(RejectedError):
        scaffold(name, tmp_path)


def test_a_folder_that_is_there_is_left_alone(folder: Path) -> None:
    with pytest.raises(RejectedError) as refused:
        scaffold("daily-swing", folder.parent)
    assert refused.value.code == "component.exists"


def stored(folder: Path) -> tuple[str, Sources]:
    """The archive of a folder, and where it is unpacked."""
    archive = pack(folder)
    path = folder.parent / "archive.tar"
    path.write_bytes(archive)
    return f"sha256:{hashlib.sha256(archive).hexdigest()}", Sources(lambda _: path, folder.parent / "cache")


def test_an_unpacked_folder_that_was_changed_is_unpacked_anew(folder: Path) -> None:
    archive, sources = stored(folder)
    found = sources.folder_of(archive)
    (found / "daily_swing.py").write_text("changed")
    assert "Doubles" in (sources.folder_of(archive) / "daily_swing.py").read_text()
    (folder.parent / "archive.tar").write_bytes(tar(("main.py", CODE)))
    (found / "daily_swing.py").write_text("changed")
    with pytest.raises(RejectedError, match="are not those of"):
        sources.folder_of(archive)


BAD_CODE = {
    "import os\nos._exit(0)\n": "release.crashed",
    "while True:\n    pass\n": "release.timed_out",
    "import sys\nsys.exit(0)\n": "component.unreadable",
    "raise ValueError('no')\n": "component.unreadable",
    "import os\nos.write(3, b'not json\\n')\nos.write(4, b'not json\\n')\nos.write(5, b'x')\n": "",
    "x = 1\n": "release.empty",
}


@pytest.mark.parametrize("code", BAD_CODE)
def test_code_that_does_not_load_is_told_and_does_not_hang(code: str, tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release/main.py").write_text(code)
    archive, sources = stored(tmp_path / "release")
    workers = Workers(sources, Environments(tmp_path / "environments"), timeout_s=3.0)
    with pytest.raises(RejectedError) as refused:
        workers.ask(archive, "describe")
    workers.close()
    assert BAD_CODE[code] in refused.value.code


def test_faults_name_files_as_they_are_called_in_the_archive(tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    (folder / "helper_of_broken.py").write_text("x = 1\n")
    (folder / "broken.py").write_text("from helper_of_broken import y\n")
    code = "import sys; from pathlib import Path; from thalweg.published.loading import load_all; load_all(Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("thalweg.errors.RejectedError: ")][-1:]
    assert "broken.py does not import: ImportError" in told and "helper_of_broken.py" in told and str(tmp_path) not in told


def test_a_worker_sees_no_secret_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_S3_SECRET_KEY", "planted")
    monkeypatch.setenv("MY_TOKEN", "planted")
    (tmp_path / "release").mkdir()
    (tmp_path / "release/main.py").write_text("import os\nraise ValueError(sorted(os.environ.items()))\n")
    archive, sources = stored(tmp_path / "release")
    workers = Workers(sources, Environments(tmp_path / "environments"))
    with pytest.raises(RejectedError) as refused:
        workers.ask(archive, "describe")
    workers.close()
    assert "PYTHONSAFEPATH" in str(refused.value) and "planted" not in str(refused.value)


def test_workers_are_ended_in_the_middle_of_a_call(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release/main.py").write_text(f"open({str(tmp_path / 'started')!r}, 'w')\nwhile True:\n    pass\n")
    archive, sources = stored(tmp_path / "release")
    workers = Workers(sources, Environments(tmp_path / "environments"), timeout_s=60.0)
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(workers.ask, archive, "describe")
        deadline = time.monotonic() + 30
        while not (tmp_path / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        workers.close()
        with pytest.raises(RejectedError) as refused:
            asked.result(timeout=10)
    assert refused.value.code == "release.crashed"


def test_workers_are_few_and_start_again(folder: Path, tmp_path: Path) -> None:
    archive, sources = stored(folder)
    workers = Workers(sources, Environments(tmp_path / "environments"), limit=1)
    (described,) = workers.ask(archive, "describe")
    assert described["manifest"]["code"] == "daily_swing.py" and not described["is_static"]
    asked = {"component": "daily-swing@0.1.0", "code": "daily_swing.py"}
    assert workers.ask(archive, "check", **asked, params={"at_least": "x"})["faults"][0][0] == "at_least"
    workers.close()
    assert workers.ask(archive, "check", **asked, params={"at_least": 2})["params"] == {"at_least": 2.0}
    workers.close()
