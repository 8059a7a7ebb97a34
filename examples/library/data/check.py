"""Lets readings through that a thermometer can have given."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Reading:
    city: str
    temp: float | None


@dataclass
class Checked:
    city: str
    temp: float


def process(record: Reading) -> Checked | None:
    """The reading, or None where it is missing or out of range."""
    if record.temp is None or not -40 < record.temp < 60:
        return None
    return Checked(record.city, record.temp)
