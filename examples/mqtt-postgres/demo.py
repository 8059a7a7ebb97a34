"""Starts an MQTT broker, PostgreSQL and Thalweg, deploys the pipeline, publishes readings, prints what came; ends what it has started."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.enums import CallbackAPIVersion

HERE = Path(__file__).resolve().parent
PATIENCE_S = 60.0
COMMAND = [sys.executable, "-m", "thalweg_cli"]
TABLE = "create table readings (station text, time timestamptz, temp float8, wind float8, primary key (station, time))"
USER, PASSWORD = "sensors", secrets.token_hex(8)


def main() -> int:
    """0 once every hot day has been heard of, and every reading is in the table."""
    readings = (HERE / "data" / "readings.jsonl").read_text().splitlines()
    hot = sum(json.loads(reading)["temp"] >= 30 for reading in readings)
    with (
        tempfile.TemporaryDirectory(prefix="thalweg-mqtt-") as folder,
        broker(Path(folder)) as port,
        database() as url,
        server(Path(folder)) as environment,
        psycopg.connect(url, autocommit=True) as table,
    ):
        table.execute(TABLE)
        run(environment, "secret", "set", "database", given=url)
        run(environment, "secret", "set", "mqtt-user", given=USER)
        run(environment, "secret", "set", "mqtt-password", given=PASSWORD)
        pipeline = Path(folder) / "pipeline.yaml"
        pipeline.write_text((HERE / "pipeline.yaml").read_text().replace("127.0.0.1:1883", f"127.0.0.1:{port}"))
        run(environment, "apply", str(pipeline))
        run(environment, "validate", str(pipeline), "--connect")
        run(environment, "deploy", "mqtt-postgres")
        with client_of(port) as client:
            alarms: list[str] = []
            client.on_message = lambda _client, _data, message: alarms.append(message.payload.decode())
            client.subscribe("alarms/#", 2)
            # Retained, so that it is there however late the source subscribes; the others come while it has a session.
            client.publish("sensors/seattle/weather", readings[0], 1, retain=True)
            wait(lambda: '"records_in": 1' in run(environment, "status", "mqtt-postgres", "--json"))
            for reading in readings[1:]:
                client.publish("sensors/seattle/weather", reading, 1)
            wait(lambda: len(alarms) >= hot and rows_of(table) == len(readings))
        print(f"  {len(readings)} readings, {len(alarms)} alarms; the first: {alarms[0]}")
        found = table.execute("select station, count(*), max(temp) from readings group by station").fetchall()
        print("  table readings: " + ", ".join(f"{station}: {count} rows, at most {temp} °C" for station, count, temp in found))
        print("  " + "\n  ".join(run(environment, "undeploy", "mqtt-postgres").splitlines()))
    return 0


def rows_of(table: psycopg.Connection[tuple[int]]) -> int:
    """How many there are."""
    found = table.execute("select count(*) from readings").fetchone()
    return found[0] if found is not None else 0


@contextmanager
def database() -> Iterator[str]:
    """A PostgreSQL server; its URL."""
    words = [sys.executable, str(HERE / "postgres.py")]
    running = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        yield running.stdout.readline().strip()
    finally:
        running.communicate(timeout=PATIENCE_S)


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """An MQTT broker with a user; its port. A nats-server is one."""
    with socket.socket() as mqtt, socket.socket() as nats:
        mqtt.bind(("127.0.0.1", 0))
        nats.bind(("127.0.0.1", 0))
        port, nats_port = mqtt.getsockname()[1], nats.getsockname()[1]
    config = folder / "broker.conf"
    config.write_text(
        f'server_name: broker\nlisten: "127.0.0.1:{nats_port}"\njetstream {{store_dir: {json.dumps(str(folder / "broker"))}}}\n'
        f'authorization {{user: {USER}, password: "{PASSWORD}"}}\nmqtt {{listen: "127.0.0.1:{port}"}}\n'
    )
    running = subprocess.Popen([Path(sys.executable).with_name("nats-server"), "-c", config], stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        running.terminate()
        running.wait(PATIENCE_S)


@contextmanager
def server(data: Path) -> Iterator[dict[str, str]]:
    """`thalweg up` in a folder of its own; the variables that lead commands to it."""
    environment = {**os.environ, "THALWEG_DATA": str(data / "thalweg")}
    words = [*COMMAND, "up", "--data", environment["THALWEG_DATA"], "--http-port", "0"]
    up = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert up.stdout is not None
        for line in up.stdout:
            name, is_one, value = line.strip().removeprefix("export ").partition("=")
            if is_one and name.startswith("THALWEG_"):
                environment[name] = value.strip("'\"")
            if "THALWEG_HTTP_URL" in environment and "THALWEG_NATS_URL" in environment:
                break
        yield environment
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=PATIENCE_S)


@contextmanager
def client_of(port: int) -> Iterator[paho.Client]:
    """A client that is connected."""
    client, is_up = paho.Client(CallbackAPIVersion.VERSION2), threading.Event()
    client.username_pw_set(USER, PASSWORD)
    client.on_connect = lambda *_: is_up.set()
    wait(lambda: answers(port))
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert is_up.wait(PATIENCE_S)
    yield client
    client.disconnect()
    client.loop_stop()


def answers(port: int) -> bool:
    """Whether something listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def run(environment: dict[str, str], *words: str, given: str | None = None) -> str:
    """A command's output."""
    return subprocess.run(
        [*COMMAND, *words], env=environment, check=True, timeout=PATIENCE_S, stdout=subprocess.PIPE, text=True, input=given
    ).stdout


def wait(condition: Callable[[], bool]) -> None:
    """Until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
