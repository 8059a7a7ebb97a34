"""Generated files that are not where they are looked for: not written, under another name, saved in the store. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.findings import Finding
from thalweg.client.diagnosis.wording import records
from thalweg.wire.spec import VertexSpec

_CLOSE = 0.5  # likeness of two names, 0 to 1


def find_files(facts: Facts, vertex: VertexSpec) -> Iterator[Finding]:
    """What became of each file that a vertex declares, and of others that it wrote."""
    commit = facts.commit(vertex.name)
    for slot, name in sorted(vertex.generated.items()):
        if slot in commit.generated:
            yield _stored(facts, vertex, slot)
        elif slot in commit.missing:
            yield _not_written(facts, vertex, slot, name)
        elif facts.is_gone or facts.has_failed(vertex.name):
            yield _not_finished(facts, vertex, slot, name)
    for path in commit.undeclared:
        near = _nearest(vertex, commit.missing, path)
        said = f"has written {path}, which it does not declare: it is not saved"
        if near is not None:
            said += f"; it declares {near} ({vertex.generated[near]}), and has not written that"
        hint = f"write to the path that its slot {near} is given" if near else "declare a GeneratedFile for it in the component"
        yield Finding("file.undeclared", "warning", vertex.name, said, hint, near, {"path": path, "declared": dict(vertex.generated)})


def _stored(facts: Facts, vertex: VertexSpec, slot: str) -> Finding:
    one = facts.commit(vertex.name).generated[slot]
    evidence = {"slot": slot, "name": one.name, "artifact": one.artifact, "size_bytes": one.size_bytes}
    get = f"`thalweg file get {one.artifact} --out {one.name}` fetches it"
    if facts.is_gone:
        said = f"has saved {one.name} ({one.size_bytes:,} bytes) in the file store, as {one.artifact}"
        return Finding("file.saved", "note", vertex.name, said, get, slot, evidence)
    said = f"has stored {one.name} ({one.size_bytes:,} bytes); it is listed once the deployment is undeployed"
    return Finding("file.stored", "note", vertex.name, said, f"`thalweg undeploy {facts.spec.name}` saves it", slot, evidence)


def _not_written(facts: Facts, vertex: VertexSpec, slot: str, name: str) -> Finding:
    commit = facts.commit(vertex.name)
    taken = commit.counters.records_in
    evidence = {"slot": slot, "name": name, "records_in": taken, "undeclared": list(commit.undeclared)}
    said = f"has not written {name} (slot {slot}), though it came to its end after {records(taken)}"
    hint = "its component must write the file that it declares, in `finish` at the latest"
    if not taken and vertex.inputs:
        said = f"has not written {name} (slot {slot}): it has got no records"
        hint = "see where the flow ends"
    near = next((path for path in commit.undeclared if _nearest(vertex, commit.missing, path) == slot), None)
    if near is not None:
        said += f"; it has written {near} instead"
    return Finding("file.not_written", "fault", vertex.name, said, hint, slot, evidence)


def _not_finished(facts: Facts, vertex: VertexSpec, slot: str, name: str) -> Finding:
    commit = facts.commit(vertex.name)
    evidence = {"slot": slot, "name": name, "records_in": commit.counters.records_in}
    failed = [one for one in facts.vertices if facts.has_failed(one)]
    if facts.has_failed(vertex.name):
        why = "it failed before its end"
    elif failed:
        why = f"{failed[0]} failed before it had come to its end"
    else:
        why = "it had not come to its end" if commit.number else "it has never started"
    hint = "files are stored when a vertex has worked on all of its input; correct what failed and run it again"
    return Finding("file.not_finished", "fault", vertex.name, f"has not stored {name} (slot {slot}): {why}", hint, slot, evidence)


def _nearest(vertex: VertexSpec, slots: list[str], path: str) -> str | None:
    """The missing slot whose file's name is most like that of a path."""
    names = {vertex.generated.get(slot, slot).removeprefix(f"{vertex.name}-"): slot for slot in slots}
    close = difflib.get_close_matches(path.rpartition("/")[2], list(names), n=1, cutoff=_CLOSE)
    return names[close[0]] if close else None
