"""The bare chain: source -> map -> sink, three processes, nats-py and msgpack alone, fenced single-message commits.

    python raw_chain.py nats://127.0.0.1:14222 [--batch 1000] [--records 600000] [--storage file]

Prints records per second at the sink. It is the limit that the product's own chain is compared with, in one run.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

import msgpack
import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

STREAM = "RAWCHAIN"
SUBJECT = "raw.{}.out.0"


def record(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"sensor-{number % 50}",
        "value": number * 0.5,
        "unit": "celsius",
        "ok": True,
        "tags": ["a", "b"],
        "note": "x" * 80,
    }


class Reader:
    """Keeps one pull request of `depth` messages open and hands messages out in order."""

    def __init__(self, nc: Client, stage: str, depth: int = 64) -> None:
        self.nc, self.stage, self.depth, self.open = nc, stage, depth, 0
        self.queue: asyncio.Queue[Msg] = asyncio.Queue()

    async def start(self) -> None:
        self.name, self.inbox = f"c{os.urandom(4).hex()}", self.nc.new_inbox()
        config = {
            "name": self.name,
            "ack_policy": "none",
            "deliver_policy": "all",
            "mem_storage": True,
            "filter_subjects": [SUBJECT.format(self.stage)],
            "inactive_threshold": 30_000_000_000,
        }
        body = json.dumps({"stream_name": STREAM, "config": config}).encode()
        await self.nc.request(f"$JS.API.CONSUMER.CREATE.{STREAM}.{self.name}", body)

        async def arrived(message: Msg) -> None:
            self.queue.put_nowait(message)

        await self.nc.subscribe(self.inbox, cb=arrived, pending_msgs_limit=-1, pending_bytes_limit=-1)
        await self.pull()

    async def pull(self) -> None:
        body = json.dumps({"batch": self.depth, "expires": 30_000_000_000}).encode()
        await self.nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self.name}", body, reply=self.inbox)
        self.open += self.depth

    async def next(self) -> Msg:
        while True:
            message = await self.queue.get()
            if message.headers and message.headers.get("Status"):
                continue
            self.open -= 1
            if self.open < self.depth // 2:
                await self.pull()
            return message


async def stage(url: str, kind: str, records: int, batch: int) -> None:
    nc = await nats.connect(url)

    async def commit(body: bytes, expected: int, position: str) -> int:
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(expected),
            "Nats-Expected-Last-Subject-Sequence-Subject": f"raw.{kind}.>",
            "Tw-In": position,
        }
        answer = json.loads((await nc.request(SUBJECT.format(kind), body, headers=headers, timeout=10)).data)
        if "error" in answer:
            raise SystemExit(str(answer))
        return int(answer["seq"])

    done = sequence = 0
    if kind == "source":
        values = [record(number) for number in range(batch)]
        while done < records:
            for value in values:
                value["id"] = done
            body = msgpack.packb({"v": values, "t": [time.time_ns()] * batch})
            sequence = await commit(body, sequence, str(done))
            done += batch
    else:
        reader = Reader(nc, {"map": "source", "sink": "map"}[kind])
        await reader.start()
        started = 0.0
        while done < records:
            message = await reader.next()
            started = started or time.perf_counter()
            body = msgpack.unpackb(message.data)
            if kind == "map":
                values = [{**value, "value": value["value"] * 1.8 + 32} for value in body["v"]]
                sequence = await commit(msgpack.packb({"v": values, "t": body["t"]}), sequence, message.reply.split(".")[5])
            done += len(body["v"])
        if kind == "sink":
            print(f"{done / (time.perf_counter() - started):.0f} records/s, {batch} records a message", flush=True)
    await nc.close()


async def create(url: str, storage: str) -> None:
    nc = await nats.connect(url)
    await nc.request(f"$JS.API.STREAM.DELETE.{STREAM}", b"")
    config = {
        "name": STREAM,
        "subjects": ["raw.>"],
        "storage": storage,
        "discard": "new",
        "discard_new_per_subject": True,
        "max_msgs_per_subject": 1_000_000,
        "allow_direct": True,
    }
    answer = json.loads((await nc.request(f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(config).encode())).data)
    assert "error" not in answer, answer
    await nc.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--batch", type=int, default=1000)
    arguments.add_argument("--records", type=int, default=600_000)
    arguments.add_argument("--storage", default="file")
    arguments.add_argument("--stage")
    given = arguments.parse_args()
    if given.stage:
        uvloop.run(stage(given.url, given.stage, given.records, given.batch))
    else:
        asyncio.run(create(given.url, given.storage))
        base = [sys.executable, __file__, given.url, "--records", str(given.records), "--batch", str(given.batch), "--stage"]
        stages = [subprocess.Popen([*base, kind]) for kind in ("sink", "map")]
        time.sleep(0.7)
        stages.append(subprocess.Popen([*base, "source"]))
        sys.exit(max(process.wait() for process in stages))
