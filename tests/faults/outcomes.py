"""What the pipeline of the fault tests leaves: undisturbed in memory, and after a run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.graph.pipeline import load_pipeline
from thalweg.sdk.catalog import Catalog
from thalweg.testing import run_graph

PIPELINE, PARTS = Path(__file__).with_name("pipeline.yaml"), Path(__file__).with_name("parts.py")


@dataclass(frozen=True)
class Outcome:
    """Digests of every output port, over all its records in order, and of both files."""

    ports: dict[str, str]
    lines: str
    table: str


def words_of_run(out: Path) -> list[str]:
    """Arguments of `thalweg` that run it into a folder."""
    return ["run", str(PIPELINE), "--components", str(PARTS), "--out", str(out), "--json"]


def undisturbed(workdir: Path, **params: float) -> Outcome:
    """In memory; with other params of the source where they are given."""
    pipeline = load_pipeline(PIPELINE)
    source = pipeline.vertices["source"]
    source = source.model_copy(update={"params": {**source.params, **params}})
    pipeline = pipeline.model_copy(update={"vertices": {**pipeline.vertices, "source": source}})
    results = run_graph(pipeline, base=PIPELINE.parent, catalog=Catalog(paths=(PARTS,)), workdir=workdir)
    ports = {f"{name}.{port}": digest for name, result in results.items() for port, digest in result.digests.items()}
    return Outcome(ports, _sha256(results["lines"].generated["file"]), _sha256(results["table"].generated["file"]))


def outcome(summary: dict[str, Any], out: Path) -> Outcome:
    """Of a run, by its summary and the folder of its files."""
    ports = {f"{name}.{port}": stored["digest"] for name, vertex in summary["vertices"].items() for port, stored in vertex["ports"].items()}
    return Outcome(ports, _sha256(out / "lines.jsonl"), _sha256(out / "lines.parquet"))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
