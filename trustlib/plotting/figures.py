"""Figures that cannot enter a page without caption, alt text and labelled axes."""

from __future__ import annotations

import html
import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def show(figure: Figure, *, name: str, caption: str, alt: str) -> None:
    """Put a figure into the page with its caption and alt text, once, and close it.

    In a notebook the caption stands under the picture. When the book is built, the same metadata turns the output
    into a numbered figure, to which text refers as ``{numref}`fig-name```.

    Args:
        figure: a matplotlib figure whose visible axes have labels.
        name: label of the figure, lower case with hyphens, for instance "fig-noise".
        caption: one or two sentences: what is shown, what to see.
        alt: one to three sentences for people who do not see it: type of plot, axes, finding. Not the caption.

    Raises:
        ValueError: a missing or repeated text, a bad name, or an axis without label.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> show(plt.figure(), name="Figure 1", caption="A.", alt="B.")
        Traceback (most recent call last):
        ...
        ValueError: name must be lower-case words joined by hyphens, for instance "fig-noise", got 'Figure 1'.

    Source: MyST-NB cell metadata for captions and alt text.
    """
    from IPython.display import display

    check_texts(name, caption, alt)
    check_axes(figure)
    data = figure_png(figure)
    metadata = {"trustlib": {"figure": {"name": name, "caption": caption, "alt": alt}}}
    text = f"<Figure {name}: {alt}>"
    display({"image/png": data, "text/plain": text}, raw=True, metadata=metadata)
    note = f'<p style="font-size:.9em;max-width:46em"><em>{html.escape(caption)}</em></p>'
    bundle = {"text/html": note, "text/plain": caption}
    display(bundle, raw=True, metadata={"trustlib": {"caption_for": name}})


def figure_png(figure: Figure, *, dpi: int | None = None) -> bytes:
    """The figure as PNG bytes without a time stamp; closes it, so that it is shown once only."""
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi or "figure", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def check_texts(name: str, caption: str, alt: str) -> None:
    """Name, caption and alt text by the rules of the book."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name or ""):
        raise ValueError(
            f'name must be lower-case words joined by hyphens, for instance "fig-noise", got {name!r}.'
        )
    for label, text in (("caption", caption), ("alt", alt)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{label} of {name!r} is empty: every figure needs one.")
    if alt.strip() == caption.strip():
        raise ValueError(
            f"alt of {name!r} repeats the caption: describe the picture to somebody who cannot see it."
        )
    if sentences(caption) > 2:
        raise ValueError(
            f"caption of {name!r} has {sentences(caption)} sentences; two are enough, the rest is prose."
        )


def check_axes(figure: Figure) -> None:
    """Every visible axis that shows ticks has a label, its own or a shared one."""
    for number, axes in enumerate(figure.axes):
        for which in ("x", "y"):
            if _shows_ticks(axes, which) and not _label(figure, axes, which):
                raise ValueError(
                    f"axes {number} has no {which} label: set_{which}label with quantity, symbol and unit, or hide "
                    "its ticks."
                )


def sentences(text: str) -> int:
    """How many sentences a text has; abbreviations and decimals do not count."""
    plain = re.sub(r"\$[^$]*\$|\b(e\.g|i\.e|vs|al|Fig|Eq)\.|\d\.\d", "", text)
    return len([part for part in re.split(r"[.!?](?:\s|$)", plain) if part.strip()])


def _shows_ticks(axes: Axes, which: str) -> bool:
    """Whether an axis is visible and has tick labels."""
    axis: Any = getattr(axes, f"{which}axis")
    if not (axes.get_visible() and axes.axison and axis.get_visible()):
        return False
    shown = axis.get_tick_params(which="major")
    sides = ("labelbottom", "labeltop") if which == "x" else ("labelleft", "labelright")
    return any(shown.get(side, False) for side in sides) and len(axis.get_major_locator()()) > 0


def _label(figure: Figure, axes: Axes, which: str) -> str:
    """The label of an axis, or the label of the whole figure."""
    shared = getattr(figure, f"_sup{which}label", None)
    own = getattr(axes, f"get_{which}label")()
    return own or (shared.get_text() if shared is not None else "")
