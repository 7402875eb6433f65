"""From a figure to bytes: equal on every run, small where many are needed."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from trustlib.plotting.theme import DPI

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

Format = Literal["png", "svg"]
CSS_PER_INCH = 96  # what a browser calls an inch
_PALETTES = (32, 64, 128, 256)
_VISIBLE = 24  # a channel that is off by more, of 255, can be seen
_FEW = 0.005  # share of pixels that may be off so much


@dataclass(frozen=True)
class Picture:
    """An encoded picture.

    Args:
        data: the file's bytes.
        mime: "image/png" or "image/webp".
        width: how wide a page shows it, CSS pixels.
        height: how high a page shows it, CSS pixels.
    """

    data: bytes
    mime: str
    width: int
    height: int

    @property
    def weight(self) -> int:
        """Bytes that it takes in a page."""
        return len(self.uri())

    def uri(self) -> str:
        """The picture as an address that needs no file."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


def render(figure: Figure, *, format: Format = "png", dpi: float = DPI) -> bytes:
    """The bytes of a figure: no time stamp, no version, equal for figures that are made alike.

    A figure with a constrained layout can move by a pixel each time it is drawn; render it once.

    Args:
        figure: the figure; it stays open.
        format: "png" or "svg".
        dpi: dots per inch, for "png".

    Returns:
        The content of the file.

    Raises:
        ValueError: another format, or dpi <= 0.

    Example:
        >>> from matplotlib.figure import Figure
        >>> render(Figure(figsize=(1, 1)))[1:4]
        b'PNG'
    """
    if format not in get_args(Format):
        raise ValueError(f"format must be {' or '.join(get_args(Format))}, got {format!r}.")
    if not dpi > 0:
        raise ValueError(f"dpi must be > 0, got {dpi}.")
    import matplotlib

    quiet: dict[str, None] = {"Software": None} if format == "png" else {"Date": None, "Creator": None}
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "trustlib", "savefig.bbox": None}):
        figure.savefig(buffer, format=format, dpi=dpi, metadata=quiet, facecolor="white")
    return buffer.getvalue()


def compress(png: bytes, *, dpi: float) -> Picture:
    """The smallest faithful form of a rendered figure.

    A palette of 32 to 256 colours, the first with which at most 0.5 % of the pixels change visibly; where none
    is faithful (photographs, many hues) WebP without loss.

    Args:
        png: a rendered figure.
        dpi: its dots per inch.

    Returns:
        The picture, with the size at which it is shown.
    """
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    width, height = (round(side / dpi * CSS_PER_INCH) for side in image.size)
    for colors in _PALETTES:
        reduced = image.quantize(colors, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        if _difference(image, reduced) <= _FEW:
            return Picture(_saved(reduced, "PNG", optimize=True), "image/png", width, height)
    exact = _saved(image, "WEBP", lossless=True, quality=80)
    return Picture(exact, "image/webp", width, height)


def _difference(image: Image, reduced: Image) -> float:
    """Share of pixels that visibly changed."""
    before = np.asarray(image, dtype=np.int16)
    after = np.asarray(reduced.convert("RGB"), dtype=np.int16)
    return float((np.abs(before - after).max(axis=-1) > _VISIBLE).mean())


def _saved(image: Image, format: str, **options: object) -> bytes:
    """The file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()
