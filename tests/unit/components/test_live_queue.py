"""What a live source holds, and what the libraries that it needs say when they are not there."""

from __future__ import annotations

import sys
import threading

import pytest

from thalweg import RejectedError
from thalweg_components.extras import needs
from thalweg_components.live_queue import LiveQueue, WhenFull


def put_all(queue: LiveQueue[int], count: int) -> None:
    for n in range(count):
        queue.put(n)


def take_all(queue: LiveQueue[int]) -> None:
    while queue.take() is not None:
        pass


@pytest.mark.parametrize(("when_full", "left"), [("drop-oldest", [3, 4]), ("drop-newest", [0, 1])])
def test_a_full_queue_lets_go_of_what_it_is_told_to_and_counts_it(when_full: WhenFull, left: list[int]) -> None:
    queue = LiveQueue[int](2, when_full)
    put_all(queue, 5)
    queue.end()
    queue.put(5)
    assert [queue.take(), queue.take(), queue.take()] == [*left, None]
    assert (queue.take_dropped(), queue.take_dropped()) == (3, 0)


def test_a_queue_that_blocks_holds_the_outside_up_until_there_is_room_or_the_end() -> None:
    queue = LiveQueue[int](1, "block")
    outside = threading.Thread(target=put_all, args=(queue, 4))
    outside.start()
    assert [queue.take(), queue.take()] == [0, 1]
    queue.end(ValueError("unplugged"))
    outside.join(10)
    assert not outside.is_alive() and queue.take_dropped() == 0
    with pytest.raises(ValueError, match="unplugged"):
        take_all(queue)  # one may have come in before the end


def test_a_library_that_is_missing_is_told_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho", None)
    with pytest.raises(RejectedError, match=r"the library paho.* is not installed") as missing, needs("mqtt"):
        import paho.mqtt  # noqa: F401
    assert missing.value.hint == "pip install 'thalweg[mqtt]'"
