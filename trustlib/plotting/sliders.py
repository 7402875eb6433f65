"""Sliders that move a picture in the static page: without a kernel, without a network, and by keyboard."""

from __future__ import annotations

import base64
import html
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trustlib.plotting.figures import check_axes, check_texts, figure_png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BUDGET = 2_500_000  # bytes of pictures in one view
FRAME_DPI = 100
COLOURS = 64  # of the palette of a frame


@dataclass(frozen=True)
class Slider:
    """One slider of a view.

    Args:
        label: what it changes, with symbol and unit.
        values: the positions, at least two, in the order of the slider.
        start: the value shown first; None for the first one.
        text: how the values are written; None for ``str``.

    Raises:
        ValueError: fewer than two values, a value twice, or a start that is not among them.

    Example:
        >>> Slider("Privacy budget ε", [0.1, 1.0], start=1.0).first
        1
    """

    label: str
    values: Sequence[Any]
    start: Any = None
    text: Callable[[Any], str] | None = None

    def __post_init__(self) -> None:
        if len(self.values) < 2 or len(set(self.values)) != len(self.values):
            raise ValueError(
                f"values of {self.label!r} must be at least two distinct positions, got {self.values!r}."
            )
        if self.start is not None and self.start not in self.values:
            raise ValueError(
                f"start of {self.label!r} must be one of {list(self.values)!r}, got {self.start!r}."
            )

    @property
    def first(self) -> int:
        """Index of the value shown first."""
        return 0 if self.start is None else list(self.values).index(self.start)

    @property
    def options(self) -> list[str]:
        """The values as they are written."""
        return [(self.text or str)(value) for value in self.values]


def frames(
    sliders: Mapping[str, Slider],
    draw: Callable[..., Figure],
    *,
    name: str,
    caption: str,
    alt: Callable[..., str] | str,
) -> Any:
    """Draw a picture for every position of the sliders and link them, so that the page works without a kernel.

    All combinations are drawn once: with positions 5 and 6 that is 30 pictures. A stack of pictures follows its
    slider inside the browser; several sliders are stacks of stacks. With a kernel nothing is drawn again, the same
    widgets answer at once. Keep axis limits fixed in ``draw``, or the pictures jump.

    Args:
        sliders: one to three sliders by the name of the argument of ``draw``.
        draw: called with one value per slider as keyword arguments, returns a figure with labelled axes.
        name: label of the view, lower case with hyphens.
        caption: one or two sentences, shown under the view.
        alt: text for each picture, from the same arguments as ``draw``; or one text, which gets the values appended.

    Returns:
        A widget; make it the last expression of the cell.

    Raises:
        ValueError: no slider or more than three, missing texts, unlabelled axes, or more than 2.5 MB of pictures.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> def draw(a):
        ...     figure, axes = plt.subplots(); axes.plot([0, a]); axes.set(xlabel="x", ylabel="y")
        ...     return figure
        >>> view = frames({"a": Slider("a", [1, 2])}, draw, name="view-a", caption="A line.", alt="A line up.")
        >>> len(view.children)
        3

    Source: this book; ipywidgets Stack and jslink.
    """
    import ipywidgets as widgets

    if not 1 <= len(sliders) <= 3:
        raise ValueError(f"frames needs one to three sliders, got {len(sliders)}.")
    check_texts(name, caption, alt if isinstance(alt, str) else "a text per picture")
    pictures = _pictures(sliders, draw, alt)
    total = sum(len(text) for text in pictures.values())
    if total > BUDGET:
        raise ValueError(
            f"the {len(pictures)} pictures of {name!r} weigh {total / 1e6:.1f} MB, above {BUDGET / 1e6:.1f} MB: take "
            "fewer positions or smaller figures."
        )
    controls = [_control(slider) for slider in sliders.values()]
    stack = _stack(list(sliders.values()), controls, pictures, ())
    note = f'<p style="font-size:.9em;max-width:46em;line-height:1.35"><em>{html.escape(caption)}</em></p>'
    view = widgets.VBox([widgets.VBox(controls), stack, widgets.HTML(note)])
    view.add_class("trustlib-frames")
    return view


def _pictures(
    sliders: Mapping[str, Slider], draw: Callable[..., Figure], alt: Callable[..., str] | str
) -> dict[tuple[int, ...], str]:
    """An <img> element for every combination of positions."""
    found = {}
    for places in itertools.product(*(range(len(s.values)) for s in sliders.values())):
        chosen = {key: s.values[i] for (key, s), i in zip(sliders.items(), places, strict=True)}
        figure = draw(**chosen)
        check_axes(figure)
        width = round(figure.get_figwidth() * 96)
        data = base64.b64encode(_small_png(figure_png(figure, dpi=FRAME_DPI))).decode()
        said = ", ".join(f"{s.label}: {s.options[i]}" for s, i in zip(sliders.values(), places, strict=True))
        text = alt(**chosen) if callable(alt) else f"{alt} {said}."
        source = f'src="data:image/png;base64,{data}" alt="{html.escape(text, quote=True)}"'
        found[places] = f'<img {source} style="width:{width}px;max-width:100%;height:auto;background:#fff">'
    return found


def _control(slider: Slider) -> Any:
    """The slider widget with its values written beside it; an IntSlider over positions can be linked in the browser."""
    import ipywidgets as widgets

    return widgets.SelectionSlider(
        options=[(text, i) for i, text in enumerate(slider.options)],
        value=slider.first,
        description=slider.label,
        continuous_update=True,
        style={"description_width": "initial"},
        layout={"width": "min(100%, 34em)"},
    )


def _stack(
    sliders: list[Slider], controls: list[Any], pictures: dict[tuple[int, ...], str], at: tuple[int, ...]
) -> Any:
    """A stack over the positions of the first slider, holding stacks over the others."""
    import ipywidgets as widgets

    if not sliders:
        return widgets.HTML(pictures[at])
    children = [_stack(sliders[1:], controls[1:], pictures, (*at, i)) for i in range(len(sliders[0].values))]
    stack = widgets.Stack(children, selected_index=sliders[0].first)
    # SelectionSlider keeps its position in "index": the same number in the browser and in the kernel
    widgets.jslink((controls[0], "index"), (stack, "selected_index"))
    return stack


def _small_png(data: bytes) -> bytes:
    """The picture with a palette: a third of the size, no visible difference for plots."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        reduced = picture.convert("RGB").quantize(
            colors=COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    buffer = io.BytesIO()
    reduced.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
