"""720p video through decode, step, sink in three processes, against the same steps over bare nats-py; in turn."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import av

from benchmarks.stage import HERE, Stage, compared, figure

FILM = HERE.parents[1] / "examples/video/data/bigbuckbunny.mp4"
REPEATS = 4


def measure(stage: Stage) -> list[dict[str, object]]:
    """Frames a second, and the ratio of runs next to each other."""
    film = stage.folder / "film.mp4"
    frames = repeat(FILM, film, REPEATS)
    ours, bare = list[float](), list[float]()
    for _ in range(stage.rounds):
        bare.append(float(stage.bare("bare_video.py", film, "--frames", frames).split()[0]))
        ours.append(_ours(stage, film, frames))
    return [
        figure("thalweg, three vertices", statistics.median(ours), "frames/s"),
        figure("bare, the same steps", statistics.median(bare), "frames/s"),
        compared("thalweg against bare", ours, bare, "at least 0.9"),
    ]


def _ours(stage: Stage, film: Path, frames: int) -> float:
    pipeline: dict[str, Any] = {
        "backend": "bench-video",
        "vertices": {
            "source": {"component": "video-file-source@1.0.0", "files": {"video": str(film)}},
            "map": {"component": "bench-blur@1.0.0"},
            "sink": {"component": "bench-watch@1.0.0"},
        },
        "edges": ["source.out -> map.in", "map.out -> sink.in"],
    }
    found = stage.measured(pipeline)
    assert found["count"] == frames
    return float(found["count"] / found["seconds"])


def repeat(film: Path, target: Path, times: int) -> int:
    """Writes a film that shows another one several times, without encoding it again; returns its number of frames."""
    count = 0
    with av.open(str(target), "w") as output:
        out: Any = None
        offset = 0
        for _ in range(times):
            with av.open(str(film)) as source:
                stream = source.streams.video[0]
                out = out or output.add_stream_from_template(stream)
                end = 0
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = out
                    output.mux(packet)
                    count += 1
                offset += end
    return count
