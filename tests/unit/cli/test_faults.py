"""What the command says about faulty input: one line or more, a hint, an exit code; never a traceback."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg_cli.main import app, main

Validate = Callable[..., tuple[int, str]]
ROWS = "rows: {component: csv-source@1.0.0, files: {table: t.csv}}"


@pytest.fixture
def validate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Validate:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")

    def run(text: str, *options: str) -> tuple[int, str]:
        (tmp_path / "p.yaml").write_text(text)
        result = CliRunner().invoke(app, ["validate", "p.yaml", *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


def pipeline(*vertices: str, edges: str = "[]", more: str = "") -> str:
    return "backend: b\nvertices:\n  " + "\n  ".join(vertices) + f"\nedges: {edges}\n{more}"


def test_faults_of_form_and_of_the_graph_are_told_together(validate: Validate) -> None:
    code, said = validate(
        pipeline(
            "rows: {component: csv-source@1.0.0, files: {table: none.csv}, on_error: skip, prams: {}}",
            "save: {component: jsonl-fil@1.0.0}",
            edges="[rows.out > save.in]",
        )
    )
    assert code == 3
    assert "vertices.rows.on_error: must be 'fail', 'dead-letter' or 'retry', not 'skip'" in said
    assert "unknown key 'prams'; did you mean params?" in said
    assert "none.csv is not there" in said
    assert "did you mean jsonl-file?" in said
    assert "'rows.out > save.in' is not of the form 'vertex.port -> vertex.port', as in 'rows.out -> wet.in'" in said
    assert "not connected" not in said


def test_what_names_a_malformed_vertex_is_no_fault_of_its_own(validate: Validate) -> None:
    _, said = validate(pipeline("rows: {}", "save: {component: jsonl-file@1.0.0}", edges="[rows.out -> save.in]"))
    assert "vertices.rows.component: is required (name@version of a component release)" in said
    assert said.count("error:") == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "p.yaml is empty"),
        ("backend: b\nvertices: {}\nedges:\n", "edges: is empty; give a list: vertex.port -> vertex.port, or leave it out"),
        (pipeline(ROWS, edges="[{rows.out: save.in}]"), "edges.0: must be text of the form 'vertex.port -> vertex.port'"),
        (pipeline(ROWS, more="expect: [{vertex: rows, count: {min: 9, max: 3}}]"), "min 9 is more than max 3"),
        (pipeline(ROWS.replace("}}", "}, key: a}")), "key 'a' has no effect without partitions"),
        (pipeline(ROWS.replace("}}", "}, secrets: {token: t}}")), "there is no secret slot 'token'"),
        (pipeline(ROWS.replace("}}", "}, params: {delimitr: ','}}")), "unknown param 'delimitr'; did you mean delimiter?"),
        (pipeline("wet: {component: filter@1.0.0}"), "params.where: is required (CEL expression"),
        ("- a\n- b\n", "p.yaml: must be a mapping (name: value), not a list"),
    ],
)
def test_faults_are_told_in_plain_words(validate: Validate, text: str, told: str) -> None:
    code, said = validate(text)
    assert (code, told in said) == (3, True), said


@pytest.mark.parametrize(
    ("component", "slot", "bound", "told"),
    [
        ("csv-source", "table", "folder", "this is a directory; the slot takes csv, which is a file"),
        ("parquet-source", "table", "folder", "this is a directory"),
        ("parquet-source", "table", "t.csv", "no Parquet"),
        ("csv-source", "table", "binary", "this is not text, as csv is"),
        ("image-directory-source", "directory", "t.csv", "this is a file; the slot takes directory"),
        ("video-file-source", "video", "t.csv", "no video that can be read"),
    ],
)
def test_a_file_of_another_kind_than_its_slot_is_refused(
    validate: Validate, tmp_path: Path, component: str, slot: str, bound: str, told: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary").write_bytes(b"PAR1\0\0")
    code, said = validate(pipeline(f"rows: {{component: {component}@1.0.0, files: {{{slot}: {bound}}}}}"))
    assert (code, told in said) == (3, True), said


def test_faulty_rows_and_headerless_files_are_left_to_the_run(validate: Validate, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"1,1\n2\n\xff,3\n")
    rows = ROWS.replace("}}", "}, params: {header: false, columns: {a: int, b: int}}}")
    assert validate(pipeline(rows))[0] == 0


def test_overrides_reach_a_file_that_is_not_well_formed(validate: Validate) -> None:
    code, said = validate(pipeline(ROWS.replace("}}", "}, on_error: x}")), "--set", "rows.delimitr=;")
    assert code == 3
    assert "on_error" in said
    assert "delimitr" in said


def test_a_component_that_wants_a_list_says_how_to_get_batches(validate: Validate, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from thalweg import component\n"
        "@component('mean', version='1.0.0')\n"
        "def mean(rows: list[dict[str, int]]) -> float:\n"
        "    return 0.0\n"
        "@component('one', version='1.0.0')\n"
        "def one(cursor: int | None) -> dict[str, int]:\n"
        "    return {}\n"
    )
    _, said = validate(
        pipeline("one: {component: one@1.0.0}", "mean: {component: mean@1.0.0}", edges="[one.out -> mean.rows]").replace(
            "mean.rows", "mean.in"
        ),
        "--components",
        "mine.py",
    )
    assert "call the argument `batch` to get records in lists" in said


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/nope", "there is no such file or folder"),
        ("/nope.py", "there is no such file or folder"),
        ("t.csv", "is not a .py file"),
        ("leaves.py", "does not import: SystemExit: 3"),
    ],
)
def test_component_files_that_cannot_be_used_are_one_line(validate: Validate, tmp_path: Path, path: str, told: str) -> None:
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    code, said = validate(pipeline(ROWS), "--components", path)
    assert (code, told in said) == (3, True), said


def test_the_unexpected_is_one_line_and_a_hint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("thalweg_cli.main.app", lambda: 1 // 0)
    monkeypatch.delenv("THALWEG_DEBUG", raising=False)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert said == "error: ZeroDivisionError: integer division or modulo by zero\n  hint: set THALWEG_DEBUG=1 to see where it comes from\n"
    monkeypatch.setenv("THALWEG_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        main()


def test_faults_are_json_when_asked_for(validate: Validate) -> None:
    code, said = validate(pipeline(ROWS.replace("}}", "}, on_error: x}")), "--json")
    assert code == 3
    assert [one["code"] for one in json.loads(said)["faults"]] == ["pipeline.invalid"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("backend", "edit", "b", "absent.json"), "absent.json cannot be read: No such file or directory"),
        (("backend", "edit", "b", "p.txt"), "p.txt is not JSON: "),
        (("evidence", "verify", "p.txt"), "p.txt is not JSON: "),
        (("file", "show", "abc"), "it must be 8 to 64 of a file's hex digits"),
        (("component", "yank", "daily-swing"), "it must be NAME@VERSION of a release"),
    ],
)
def test_what_cannot_be_meant_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.txt").write_text("hm")
    result = CliRunner().invoke(app, list(words))
    assert (result.exit_code, said in result.output) == (3, True), result.output


@pytest.mark.parametrize("command", ["validate", "run", "apply", "compose"])
def test_a_file_that_may_not_be_read_is_told_in_one_line(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p.yaml").touch()
    monkeypatch.chdir(tmp_path)  # where no folder `out` is

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "access", lambda *_, **__: False)  # as it is for all but root
    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    result = CliRunner().invoke(app, [command, str(tmp_path / "p.yaml")])
    assert (result.exit_code, result.stderr) == (3, f"error: {tmp_path / 'p.yaml'} cannot be read: Permission denied\n")
