"""What is about a deployment as a whole: its coordinator, its log, ports that lead nowhere. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.client.diagnosis.facts import Facts
from thalweg.client.diagnosis.findings import Finding, Severity
from thalweg.client.diagnosis.wording import listed, seconds


def find_whole(facts: Facts) -> Iterator[Finding]:
    """Of no single vertex."""
    if facts.is_gone:
        return
    if facts.spec.desired != "running":
        yield _desired(facts)
    if facts.is_over:
        return
    if not facts.has_log:
        yield _no_log(facts)
    yield from _untrimmed(facts)


def find_unread(facts: Facts) -> Iterator[Finding]:
    """Ports that nobody reads, and sources that reach no sink."""
    sinks = {name for name, one in facts.vertices.items() if facts.is_sink(one)}
    reaching = {one for sink in sinks for one in facts.upstream(sink)}
    for name, vertex in facts.vertices.items():
        for port in vertex.outputs:
            if facts.readers(name, port) or facts.is_sink(vertex):
                continue
            said = f"has a port that nobody reads: the records of {name}.{port} go nowhere"
            count = facts.port_count(name, port)
            severity: Severity = "note" if name in reaching else "warning"
            hint = f"add an edge from {name}.{port}, to a sink in the end"
            yield Finding("port.not_connected", severity, name, said, hint, port, {"records": count})
        if not vertex.inputs and vertex.outputs and name not in reaching:
            said = "reaches no sink: nothing of what it gives leaves the graph"
            yield Finding("sink.not_connected", "warning", name, said, "add a sink, and an edge to it")


def _desired(facts: Facts) -> Finding:
    desired = facts.spec.desired
    left = [name for name in facts.vertices if not facts.commit(name).ended]
    if desired == "draining" and facts.spec.has_ended(facts.commits):
        said = "the deployment is being undeployed: all vertices have ended, what they left is being saved"
    elif desired == "draining":
        said = f"the deployment is being undeployed: {listed(left)} {'has' if len(left) == 1 else 'have'} not ended yet"
    else:
        said = "the deployment is stopped" if desired == "stopped" else "the deployment is being discarded"
    return Finding(
        "deployment.stopping" if desired != "stopped" else "deployment.stopped", "note", None, said, evidence={"not_ended": left}
    )


def _no_log(facts: Facts) -> Finding:
    if facts.deployed_s < facts.patience.start_s:
        return Finding("deployment.starting", "note", None, "the deployment has no log yet: a coordinator is to make it")
    hint = "the coordinator's own log says why" if facts.has_coordinator else "start one: `thalweg up`"
    who = "the coordinator has not taken it up" if facts.has_coordinator else "no coordinator answers that would have taken it up"
    said = f"the deployment has no log {seconds(facts.deployed_s)} after it was deployed: {who}"
    return Finding("log.missing", "fault", None, said, hint, evidence={"coordinator": facts.has_coordinator})


def _untrimmed(facts: Facts) -> Iterator[Finding]:
    """Without a coordinator nothing is lost, but writers fill their subjects and wait."""
    limit = facts.spec.max_messages_per_subject
    full = [
        f"{name}.{port}"
        for name, vertex in facts.vertices.items()
        for port in vertex.outputs
        if facts.is_full(name, port) and facts.is_passed(name, port)
    ]
    counted = {
        f"{name}.{port}": facts.counts.get(facts.subject(name, port), 0)
        for name, vertex in facts.vertices.items()
        for port in vertex.outputs
    }
    evidence = {"full": full, "messages": counted, "limit": limit}
    if full and not facts.has_coordinator:
        said = f"no coordinator answers, so nothing is trimmed: {listed(full)} {'is' if len(full) == 1 else 'are'} full "
        said += f"({limit:,} messages) though all readers have passed what is there; the writers wait, nothing is lost"
        yield Finding(
            "coordinator.absent", "fault", None, said, "start one: `thalweg up`; the graph goes on by itself then", evidence=evidence
        )
    elif full and not any(facts.has_moved(name) for name in facts.vertices):
        said = f"{listed(full)} {'is' if len(full) == 1 else 'are'} full though all readers have passed what is there: nobody trims"
        hint = "a coordinator answers; its log says why it does not take care of this deployment"
        yield Finding("flow.not_trimmed", "warning", None, said, hint, evidence=evidence)
    elif not facts.has_coordinator and facts.spec.revision:
        most = max(counted.values(), default=0)
        said = f"no coordinator answers: nothing is trimmed, restarted or saved; the fullest subject has {most:,} of {limit:,} messages"
        yield Finding("coordinator.absent", "warning", None, said, "start one: `thalweg up`", evidence=evidence)
