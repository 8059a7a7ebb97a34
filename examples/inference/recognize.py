"""A component that asks a neural network what a file is: Magika's model, which its package carries with it."""

from __future__ import annotations

from dataclasses import dataclass

import thalweg


@dataclass
class Recognized:
    """What some bytes are, whatever they were said to be."""

    label: str
    group: str
    mime_type: str
    score: float


@thalweg.component("recognize", version="1.0.0")
class Recognize:
    """What each file is, with the model's own score; no file leaves the process."""

    def setup(self, context: thalweg.Context) -> None:
        """Loads the model, 3 MB."""
        from magika import Magika

        self._model = Magika()

    def process(self, record: bytes) -> Recognized:
        """One answer for each file."""
        found = self._model.identify_bytes(record)
        return Recognized(found.output.label, found.output.group, found.output.mime_type, round(found.score, 3))
