"""A pipeline on three NATS servers that die, are parted and are started anew: nothing is lost, doubled or in another order."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.cluster_run import COUNT, Running, connected, run_through
from faults.nats_cluster import Cluster, Node, loopback_places
from faults.networks import Networks, NoNetworksError, networks
from faults.outcomes import Outcome, undisturbed


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return undisturbed(tmp_path_factory.mktemp("memory"), count=COUNT, pause_s=0)


async def test_nodes_that_are_killed_and_started_again(expected: Outcome, tmp_path: Path) -> None:
    async def kill(found: Cluster, run: Running) -> None:
        for victim in (await found.leader(run.client, run.stream), random.choice(found.nodes)):
            victim.kill()
            run.say(f"killed {victim.name}")
            await _come_back(found, run, victim)
        for node in found.nodes:
            await asyncio.to_thread(node.stop)
            run.say(f"stopped {node.name}")
            await _come_back(found, run, node)

    await run_through(loopback_places(), tmp_path, kill, expected)


async def _come_back(found: Cluster, run: Running, node: Node) -> None:
    """Starts a node again, once the others have gone on without it."""
    await run.goes_on()
    run.say("it goes on")
    node.start()
    await found.until_healthy()
    run.say("all are healthy")


async def test_a_leader_that_is_parted_from_the_others(expected: Outcome, tmp_path: Path) -> None:
    with _made_networks() as nets, nets.entered():

        async def part(found: Cluster, run: Running) -> None:
            for from_clients in (False, True):
                await run.goes_on()
                victim = await found.leader(run.client, run.stream)
                witness = next(one for one in found.nodes if one is not victim)
                async with connected(witness.url) as client:
                    nets.part(victim.name, from_clients=from_clients)
                    run.say(f"parted {victim.name} from the others{' and from clients' if from_clients else ''}")
                    await found.until_led_by_another(client, run.stream, victim)
                    await run.goes_on(client, patience_s=2)  # who writes may be a client of the one that is parted, and wait
                    nets.join(victim.name)
                run.say("joined again")
                await found.until_healthy()
                run.say("all are healthy")

        await run_through(nets.places(), tmp_path, part, expected)


@contextmanager
def _made_networks() -> Iterator[Networks]:
    try:
        with networks() as found:
            yield found
    except NoNetworksError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
