"""Figures that cannot enter a page without caption, alt text and labelled axes."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from trustlib.plotting.encoding import CSS_PER_INCH, render
from trustlib.plotting.theme import MIN_POINTS, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

_ABBREVIATIONS = re.compile(
    r"\b(?:e\.g|i\.e|et al|cf|vs|resp|approx|figs?|eqs?|secs?|tab)\.|\bno\.(?=\s*\d)", re.IGNORECASE
)
_END = re.compile(r"[.!?][\"')\]]*(?:\s+|$)")


def show(figure: Figure, *, name: str, caption: str, alt: str) -> None:
    """Put a figure into the page with its caption and alt text, once, and close it.

    In a notebook the caption stands under the picture. When the book is built, the same texts make the output a
    numbered figure, to which text refers as ``{numref}`fig-name```.

    Args:
        figure: at most 7 inches wide, text of 9 points or more, a label on every visible axis, no title where the
            caption belongs (panels of several may have one).
        name: label of the figure, unique in the book, lower case with hyphens: "fig-dppl-votes".
        caption: one or two sentences: what is shown, what to see. Markdown, mathematics in $...$.
        alt: one to three sentences of plain text for people who do not see it: type of plot, axes, finding. Not the
            caption.

    Raises:
        TypeError: something that is not a matplotlib Figure.
        ValueError: a missing, long or repeated text, a bad name, an axis without label, small text, a wide figure.

    Example:
        >>> from matplotlib.figure import Figure
        >>> figure = Figure(figsize=(4, 3), layout="constrained")
        >>> _ = figure.subplots().set(xlabel="Privacy budget ε", ylabel="Error (fraction)")
        >>> show(figure, name="fig-error", caption="Error against budget.", alt="Empty axes, error against ε.")
        <fig-error: Empty axes, error against ε.>
        <fig-error: Error against budget.>
    """
    check_texts(name, caption, alt)
    check_type(figure, name)
    png = render(figure)
    check_figure(figure, name)
    width, height = (round(inches * CSS_PER_INCH) for inches in figure.get_size_inches())
    close(figure)
    size = {"image/png": {"width": width, "height": height}}
    emit({"image/png": png}, size, name=name, caption=caption, alt=alt)


def emit(data: dict[str, Any], metadata: dict[str, Any], *, name: str, caption: str, alt: str) -> None:
    """Display an output with the marks from which the build of the book makes a figure, then its caption."""
    from IPython.display import display

    marks = {"figure": {"name": name, "caption": caption, "alt": alt}}
    display(_Output(data, {**metadata, "trustlib": marks}, f"<{name}: {alt}>"))
    words = (
        f'<p style="font-size:.9em;max-width:46em;line-height:1.35"><em>{html.escape(caption)}</em></p>'
        f'<details style="font-size:.9em"><summary>Description</summary>{html.escape(alt)}</details>'
    )
    display(_Output({"text/html": words}, {"trustlib": {"caption_for": name}}, f"<{name}: {caption}>"))


class _Output:
    """Something to display: its forms in Jupyter, one line of text in a plain interpreter."""

    def __init__(self, data: dict[str, Any], metadata: dict[str, Any], text: str) -> None:
        self.data = {**data, "text/plain": text}
        self.metadata = metadata

    def __repr__(self) -> str:
        return str(self.data["text/plain"])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[Any, Any]:
        return self.data, self.metadata


def close(figure: Figure) -> None:
    """Take a figure from pyplot, so that no notebook shows it a second time; it can still be rendered."""
    import matplotlib.pyplot as plt

    plt.close(figure)


def check_type(figure: object, name: str) -> None:
    """Refuse what is no figure."""
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        remedy = " Give its .figure." if isinstance(getattr(figure, "figure", None), Figure) else ""
        raise TypeError(f"{name!r} must be a matplotlib Figure, got {type(figure).__name__}.{remedy}")


def check_texts(name: str, caption: str, alt: str) -> None:
    """Name, caption and alt text by the rules of the book."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name or ""):
        raise ValueError(
            f'name must be lower-case words joined by hyphens, for instance "fig-noise", got {name!r}.'
        )
    for label, text, most in (("caption", caption, 2), ("alt", alt, 3)):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{label} of {name!r} is empty: every figure needs one.")
        if sentences(text) > most:
            raise ValueError(
                f"{label} of {name!r} has {sentences(text)} sentences, {most} are enough: the rest is prose."
            )
    if _words(alt) == _words(caption):
        raise ValueError(
            f"alt of {name!r} repeats the caption: describe the picture to somebody who cannot see it."
        )


def check_figure(figure: Figure, name: str) -> None:
    """Refuse a figure that cannot be read; it was rendered before, so that everything has its place."""
    from matplotlib.text import Text

    if figure.get_figwidth() > WIDTH + 1e-6:
        raise ValueError(
            f"{name!r} is {figure.get_figwidth():g} inches wide, a page holds {WIDTH:g}: set figsize."
        )
    check_axes(figure)
    panels = [axes for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
    title = figure.get_suptitle() or (panels[0].get_title() if len(panels) == 1 else "")
    if title:
        raise ValueError(f"{name!r} has the title {title!r}: put it into the caption.")
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip():
            _check_size(text, name)
    for text in _free_texts(figure):
        _check_inside(figure, text, name)


def _check_size(text: Text, name: str) -> None:
    """Refuse text that is too small to read."""
    points = float(text.get_fontsize())
    if points < MIN_POINTS - 1e-6:
        raise ValueError(
            f"{name!r} has text of {points:g} points ({text.get_text()!r}): {MIN_POINTS:g} is the smallest that can be "
            "read."
        )


def _free_texts(figure: Figure) -> list[Text]:
    """Labels, titles and notes; the layout sees to the numbers of the ticks and to the legends."""
    texts = list(figure.texts)
    for axes in figure.axes:
        if axes.get_visible():
            texts += [axes.title, *axes.texts]
        if axes.get_visible() and axes.axison:
            texts += [axes.xaxis.label, axes.yaxis.label]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def _check_inside(figure: Figure, text: Text, name: str) -> None:
    """Refuse text that the edge of the figure cuts off."""
    box, page = text.get_window_extent(), figure.bbox
    beyond = max(page.x0 - box.x0, page.y0 - box.y0, box.x1 - page.x1, box.y1 - page.y1)
    if beyond > 3 * figure.dpi / 72:  # three points: the box of a text is larger than its letters
        raise ValueError(
            f"{name!r} cuts off {text.get_text()!r} at the edge of the figure: make the figure with "
            'layout="constrained" (use_theme does), or shorten the text.'
        )


def check_axes(figure: Figure) -> None:
    """Every visible axis that shows ticks has a label, its own or a shared one."""
    for number, axes in enumerate(figure.axes):
        for which in ("x", "y", "z"):
            if _shows_ticks(axes, which) and not _label(figure, axes, which):
                title = f" ({axes.get_title()!r})" if axes.get_title() else ""
                raise ValueError(
                    f"axes {number}{title} has no {which} label: set_{which}label with quantity, symbol and unit, "
                    "or hide its ticks."
                )


def sentences(text: str) -> int:
    """How many sentences a text has; abbreviations, decimals and mathematics end none."""
    plain = re.sub(r"\$[^$]*\$", "x", text)
    plain = _ABBREVIATIONS.sub(lambda found: found.group().replace(".", ""), plain)
    return len([part for part in _END.split(plain) if part.strip()])


def _words(text: str) -> str:
    """A text without what does not change its meaning."""
    return re.sub(r"\W+", " ", text).strip().lower()


def _shows_ticks(axes: Axes, which: str) -> bool:
    """Whether an axis is visible and has tick labels."""
    axis: Any = getattr(axes, f"{which}axis", None)
    seen = getattr(axes, "_axis3don", axes.axison)  # axes in three dimensions keep it under another name
    if axis is None or not (axes.get_visible() and seen and axis.get_visible()):
        return False
    shown = axis.get_tick_params(which="major")
    sides = ("labelbottom", "labeltop") if which == "x" else ("labelleft", "labelright")
    return any(shown.get(side, False) for side in sides) and len(axis.get_major_locator()()) > 0


def _label(figure: Figure, axes: Axes, which: str) -> str:
    """The label of an axis, of its row or column of panels, or of the whole figure."""
    own = getattr(axes, f"get_{which}label")()
    if own or which == "z":
        return str(own)
    whole = figure.get_supxlabel() if which == "x" else figure.get_supylabel()
    return str(whole or next((text for text in _labels_beside(figure, axes, which) if text), ""))


def _labels_beside(figure: Figure, axes: Axes, which: str) -> list[str]:
    """Labels of the panels in the same column (for x) or row (for y) of the same grid."""
    here = axes.get_subplotspec()
    if here is None:
        return []
    span, axis = ("colspan", "xaxis") if which == "x" else ("rowspan", "yaxis")
    side = getattr(axes, axis).get_label_position()  # a second axis on the right has its own quantity
    return [
        getattr(other, f"get_{which}label")()
        for other in figure.axes
        if (there := other.get_subplotspec()) is not None
        and there.get_gridspec() is here.get_gridspec()
        and getattr(there, span) == getattr(here, span)
        and getattr(other, axis).get_label_position() == side
    ]
