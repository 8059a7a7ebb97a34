"""The same chain in FastStream 0.7 (NATS JetStream, pydantic model, pull subscribers): what a user would write today.

python faststream_chain.py nats://127.0.0.1:14222 [--records 6000]
"""

import argparse
import asyncio
import subprocess
import sys
import time

import nats
import uvloop
from faststream.nats import JStream, NatsBroker, PullSub
from pydantic import BaseModel

STREAM = "FSCHAIN"


class Reading(BaseModel):
    id: int
    name: str
    value: float
    unit: str
    ok: bool
    tags: list[str]
    note: str


async def stage(url: str, kind: str, records: int) -> None:
    broker, stream, finished = NatsBroker(url, logger=None), JStream(STREAM, subjects=["fschain.>"]), asyncio.Event()
    done, started = 0, 0.0

    if kind == "map":

        @broker.subscriber("fschain.source", stream=stream, durable="map", pull_sub=PullSub(batch_size=100))
        @broker.publisher("fschain.map", stream=STREAM)
        async def convert(reading: Reading) -> Reading:
            nonlocal done
            done += 1
            if done == records:
                finished.set()
            return reading.model_copy(update={"value": reading.value * 1.8 + 32})

    if kind == "sink":

        @broker.subscriber("fschain.map", stream=stream, durable="sink", pull_sub=PullSub(batch_size=100))
        async def count(reading: Reading) -> None:
            nonlocal done, started
            started = started or time.perf_counter()
            done += 1
            if done == records:
                print(f"{records / (time.perf_counter() - started):.0f} records/s", flush=True)
                finished.set()

    await broker.start()
    if kind == "source":
        for number in range(records):
            reading = Reading(
                id=number, name=f"sensor-{number % 50}", value=number * 0.5, unit="celsius", ok=True, tags=["a", "b"], note="x" * 80
            )
            await broker.publish(reading, "fschain.source", stream=STREAM)
    else:
        await finished.wait()
    await asyncio.sleep(0.3)
    await broker.stop()


async def create(url: str) -> None:
    nc = await nats.connect(url)
    await nc.request(f"$JS.API.STREAM.DELETE.{STREAM}", b"")
    await nc.jetstream().add_stream(name=STREAM, subjects=["fschain.>"])
    await nc.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--records", type=int, default=6000)
    arguments.add_argument("--stage")
    given = arguments.parse_args()
    if given.stage:
        uvloop.run(stage(given.url, given.stage, given.records))
    else:
        asyncio.run(create(given.url))
        base = [sys.executable, __file__, given.url, "--records", str(given.records), "--stage"]
        stages = [subprocess.Popen([*base, kind]) for kind in ("sink", "map")]
        time.sleep(2)
        stages.append(subprocess.Popen([*base, "source"]))
        sys.exit(max(process.wait() for process in stages))
