"""ocr: reads the text in images."""

from __future__ import annotations

from typing import Any, ClassVar

from thalweg import Context, component
from thalweg_components.image_findings import ImageFindings, Pixels
from thalweg_components.text_reader import Line, ReaderParams, TextReader, joined


@component("ocr", version="1.0.0")
class Ocr(ImageFindings):
    """Reads the text in images: printed Latin and Chinese letters, digits.

    **Ports**: `in` takes images, or records with a field `image`. `out` emits one record each: the record's other fields, then
    `text: str` (the lines below one another) and
    `boxes: list[record{text: str, score: float, x: int, y: int, w: int, h: int, corners: list[record{x, y}]}]`, a box for each line,
    from top to bottom.

    **Params**: `min_score` (0 to 1, of a line that counts), `size` (pixels of the longer side in which lines are looked for: smaller is
    faster, and misses small text), `upside_down` (lines may stand on their heads), `threads` (1 to 64).

    **Models** are those that the package `rapidocr` ships (PP-OCR, Apache 2.0); they run in the process, and nothing leaves it. Another
    version of the package may read another text.

    **Determinism**: the same on processors of one kind; others may differ in the last digits of scores.

    **Faults**: an image that does not decode is a faulty record. One without text gives an empty text.
    """

    params: ReaderParams
    finds: ClassVar[dict[str, Any]] = {"text": str, "boxes": list[Line]}

    def setup(self, context: Context) -> None:
        """Loads the models."""
        self._reader = TextReader(self.params)

    def look(self, pixels: Pixels) -> tuple[str, list[Line]]:
        """The text and its lines."""
        lines = self._reader.lines(pixels)
        return joined(lines), lines
