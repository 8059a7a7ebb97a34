"""The bare video chain: decode and JPEG; blur and JPEG; decode; three processes over fenced JetStream publishes.

    python bare_video.py nats://127.0.0.1:14222 FILM --frames N

Prints frames a second at the sink.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import av
import cv2
import msgpack
import nats
import numpy as np
import simplejpeg
import uvloop
from nats.aio.client import Client

from benchmarks import raw_chain

STREAM, SUBJECT = raw_chain.STREAM, raw_chain.SUBJECT
_LUMA = np.clip((np.arange(256) - 16) * 255 / 219 + 0.5, 0, 255).astype(np.uint8)
_CHROMA = np.clip((np.arange(256) - 128) * 255 / 224 + 128.5, 0, 255).astype(np.uint8)


async def commit(nc: Client, kind: str, body: bytes, expected: int) -> int:
    """One fenced publish."""
    headers = {"Nats-Expected-Last-Subject-Sequence": str(expected), "Nats-Expected-Last-Subject-Sequence-Subject": f"raw.{kind}.>"}
    answer = json.loads((await nc.request(SUBJECT.format(kind), body, headers=headers, timeout=30)).data)
    return int(answer["seq"])


def encode(frame: Any) -> bytes:
    """JPEG of a decoded frame from its planes, at full range: the same work as `video-file-source`."""
    planes = []
    for plane, table in zip(frame.planes, (_LUMA, _CHROMA, _CHROMA), strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        planes.append(cv2.LUT(rows, table))
    return bytes(simplejpeg.encode_jpeg_yuv_planes(*planes, quality=90))


async def source(nc: Client, film: str) -> None:
    """Decodes and publishes; the next frame is decoded while one is on its way."""
    sequence, waiting = 0, None
    with av.open(film) as container:
        stream = container.streams.video[0]
        stream.thread_type = "SLICE"
        for index, frame in enumerate(container.decode(stream)):
            body = msgpack.packb({"v": [{"index": index, "image": encode(frame)}], "t": [index]})
            if waiting is not None:
                sequence = await waiting
            waiting = asyncio.create_task(commit(nc, "source", body, sequence))
            await asyncio.sleep(0)
    if waiting is not None:
        await waiting


async def work(nc: Client, kind: str, frames: int) -> None:
    """Blurs and publishes, or decodes alone."""
    reader = raw_chain.Reader(nc, {"map": "source", "sink": "map"}[kind], depth=8)
    await reader.start()
    sequence, waiting, started = 0, None, 0.0
    for _ in range(frames):
        message = await reader.next()
        started = started or time.perf_counter()
        record = msgpack.unpackb(message.data)["v"][0]
        pixels = simplejpeg.decode_jpeg(record["image"], colorspace="BGR")
        if kind == "map":
            blurred = cv2.blur(pixels, (5, 5))
            record["image"] = simplejpeg.encode_jpeg(blurred, quality=90, colorspace="BGR")
            if waiting is not None:
                sequence = await waiting
            waiting = asyncio.create_task(commit(nc, "map", msgpack.packb({"v": [record], "t": [0]}), sequence))
            await asyncio.sleep(0)
    if waiting is not None:
        await waiting
    if kind == "sink":
        print(f"{frames / (time.perf_counter() - started):.1f} frames/s", flush=True)


async def stage(url: str, kind: str, film: str, frames: int) -> None:
    """One of the three processes."""
    nc = await nats.connect(url, pending_size=64 << 20)
    await (source(nc, film) if kind == "source" else work(nc, kind, frames))
    await nc.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("film")
    arguments.add_argument("--frames", type=int, required=True)
    arguments.add_argument("--stage")
    given = arguments.parse_args()
    if given.stage:
        uvloop.run(stage(given.url, given.stage, given.film, given.frames))
    else:
        asyncio.run(raw_chain.create(given.url, "file"))
        base = [sys.executable, __file__, given.url, given.film, "--frames", str(given.frames), "--stage"]
        stages = [subprocess.Popen([*base, kind]) for kind in ("sink", "map")]
        time.sleep(1.0)
        stages.append(subprocess.Popen([*base, "source"]))
        sys.exit(max(process.wait() for process in stages))
