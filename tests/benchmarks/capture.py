"""Small records through source, map and sink, with the log captured and without; in turn."""

from __future__ import annotations

import statistics

from benchmarks import records
from benchmarks.stage import Stage, compared, figure

RECORDS = 2_400_000  # so many that what each process costs before its first record does not count for much


def measure(stage: Stage) -> list[dict[str, object]]:
    """Records a second, CPU time, and the ratios of runs next to each other."""
    rates: dict[str, list[float]] = {"none": [], "boundary": [], "all": []}
    spent: dict[str, list[float]] = {"none": [], "boundary": [], "all": []}
    for _ in range(stage.rounds):
        for capture in rates:
            before_s = stage.cpu_s()
            rates[capture].append(records.rate(stage, capture, RECORDS))
            spent[capture].append(stage.cpu_s() - before_s)
    return [
        figure("thalweg, three vertices, all captured", statistics.median(rates["all"]), "records/s"),
        compared("all captured against nothing", rates["all"], rates["none"], "at least 0.9"),
        compared("the boundary captured against nothing", rates["boundary"], rates["none"], "at least 0.9"),
        compared("CPU time of all processes, all captured against nothing", spent["all"], spent["none"], "at most 1.1"),
        compared("the same, the boundary captured", spent["boundary"], spent["none"], "at most 1.1"),
    ]
