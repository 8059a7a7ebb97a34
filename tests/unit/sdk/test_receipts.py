"""Sinks that prove what they have delivered."""

from __future__ import annotations

from typing import ClassVar

from thalweg import Context, Place, Receipt, component
from thalweg.sdk.component import component_of
from thalweg.testing import run_component


@component("drop-off", version="1.0.0")
async def drop_off(record: str, context: Context) -> Receipt:
    """Delivers nowhere."""
    return Receipt("nowhere://", f"{context.record_id:x}")


@component("drop-offs", version="1.0.0")
class DropOffs:
    """Delivers batches nowhere, and notes where they stood."""

    seen: ClassVar[list[Place]] = []

    def setup(self, context: Context) -> None:
        """Keeps the context."""
        self.context = context

    def process(self, batch: list[str]) -> list[Receipt]:
        """A receipt for each."""
        assert len(self.context.record_ids) == len(self.context.places) == len(batch)
        self.seen.extend(self.context.places)
        return [Receipt("nowhere://", f"{one:x}") for one in self.context.record_ids]


def test_what_returns_receipts_is_a_sink() -> None:
    assert component_of(drop_off).kind == component_of(DropOffs).kind == "sink"
    assert list(component_of(drop_off).outputs) == ["receipts"]


def test_a_receipt_has_the_id_of_its_record() -> None:
    found = run_component(drop_off, ["a", "b"])
    assert [one.target for one in found.outputs["receipts"]] == ["nowhere://"] * 2
    assert len({one.reference for one in found.outputs["receipts"]}) == 2


def test_a_batch_knows_the_ids_and_places_of_its_records() -> None:
    found = run_component(DropOffs, [str(n) for n in range(200)])
    assert len({one.reference for one in found.outputs["receipts"]}) == 200
    places = DropOffs.seen
    assert len(set(places)) == 200 and places == sorted(places)
