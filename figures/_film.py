"""A figure that moves: its frames in one small animated GIF, the same bytes for the same result."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure as Canvas
from PIL import Image

from pctheory.plotting import style

DPI = 110
COLOURS = 64
"""Of the palette, which the frames share: half the bytes, and no flicker."""
MILLISECONDS = 140
"""Of a frame; the last one stays `PAUSE` times as long."""
PAUSE = 14


@dataclasses.dataclass(frozen=True)
class Film:
    """Size in inches, number of frames in a result, and what draws one: `frame(fig, result, index)`."""

    size: tuple[float, float]
    count: Callable[[Any], int]
    frame: Callable[[Canvas, Any, int], None]

    def render(self, result: Any) -> bytes:
        """The GIF; it starts again at the end."""
        pictures = [self._picture(result, index) for index in range(self.count(result))]
        last = len(pictures) - 1
        samples = [pictures[k] for k in sorted({0, last // 3, 2 * last // 3, last})]
        sheet = Image.new("RGB", (samples[0].width, sum(p.height for p in samples)))
        for k, sample in enumerate(samples):
            sheet.paste(sample, (0, k * sample.height))
        palette = sheet.quantize(COLOURS, dither=Image.Dither.NONE)
        shown = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
        times = [MILLISECONDS] * last + [PAUSE * MILLISECONDS]
        buffer = io.BytesIO()
        shown[0].save(buffer, "GIF", save_all=True, append_images=shown[1:], duration=times, loop=0)
        return buffer.getvalue()

    def _picture(self, result: Any, index: int) -> Image.Image:
        with style():
            canvas = Canvas(figsize=self.size, layout="constrained")
            self.frame(canvas, result, index)
            buffer = io.BytesIO()
            canvas.savefig(buffer, format="png", dpi=DPI)
        return Image.open(buffer).convert("RGB")
