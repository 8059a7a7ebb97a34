"""One bare hop: a process publishes fenced to a JetStream file stream at a steady rate, another receives; prints latencies.

    python bare_hop.py nats://127.0.0.1:14222 [--count 400] [--per-s 100]

Prints a JSON list: ns from before the publish to after the decoding, for every message but the first tenth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time

import msgpack
import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

STREAM, SUBJECT = "BAREHOP", "barehop.out.0"


async def publish(nc: Client, count: int, per_s: float) -> None:
    """Publishes and awaits one message at a time."""
    sequence = 0
    for number in range(count):
        await asyncio.sleep(1 / per_s)
        headers = {
            "Nats-Expected-Last-Subject-Sequence": str(sequence),
            "Nats-Expected-Last-Subject-Sequence-Subject": "barehop.out.>",
            "Tw-In": str(number),
        }
        record = {"id": number, "sent_ns": time.time_ns(), "name": f"sensor-{number % 50}", "note": "x" * 80}
        answer = json.loads((await nc.request(SUBJECT, msgpack.packb({"v": [record], "t": [number]}), headers=headers, timeout=10)).data)
        sequence = answer["seq"]


async def receive(nc: Client, count: int) -> None:
    """Receives by one long pull request."""
    latencies: list[int] = []
    done = asyncio.Event()

    async def arrived(message: Msg) -> None:
        if message.headers and message.headers.get("Status"):
            return
        body = msgpack.unpackb(message.data)
        latencies.append(time.time_ns() - body["v"][0]["sent_ns"])
        if len(latencies) == count:
            done.set()

    name, inbox = f"c{os.urandom(4).hex()}", nc.new_inbox()
    config = {"name": name, "ack_policy": "none", "deliver_policy": "all", "mem_storage": True, "inactive_threshold": 60_000_000_000}
    body = {"stream_name": STREAM, "config": config}
    await nc.request(f"$JS.API.CONSUMER.CREATE.{STREAM}.{name}", json.dumps(body).encode())
    await nc.subscribe(inbox, cb=arrived)
    pull = json.dumps({"batch": count, "expires": 60_000_000_000}).encode()
    await nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{name}", pull, reply=inbox)
    print("ready", file=sys.stderr, flush=True)
    await asyncio.wait_for(done.wait(), 60)
    print(json.dumps(latencies[count // 10 :]), flush=True)


async def stage(url: str, kind: str, count: int, per_s: float) -> None:
    """One of the two processes."""
    nc = await nats.connect(url)
    await (publish(nc, count, per_s) if kind == "publish" else receive(nc, count))
    await nc.close()


async def create(url: str) -> None:
    """Makes the stream anew."""
    nc = await nats.connect(url)
    await nc.request(f"$JS.API.STREAM.DELETE.{STREAM}", b"")
    config = {"name": STREAM, "subjects": ["barehop.>"], "storage": "file", "allow_direct": True}
    await nc.request(f"$JS.API.STREAM.CREATE.{STREAM}", json.dumps(config).encode())
    await nc.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--count", type=int, default=400)
    arguments.add_argument("--per-s", type=float, default=100)
    arguments.add_argument("--stage")
    given = arguments.parse_args()
    if given.stage:
        uvloop.run(stage(given.url, given.stage, given.count, given.per_s))
    else:
        asyncio.run(create(given.url))
        base = [sys.executable, __file__, given.url, "--count", str(given.count), "--per-s", str(given.per_s), "--stage"]
        receiver = subprocess.Popen([*base, "receive"], stderr=subprocess.PIPE, text=True)
        assert receiver.stderr is not None
        receiver.stderr.readline()
        publisher = subprocess.Popen([*base, "publish"])
        sys.exit(max(publisher.wait(), receiver.wait()))
