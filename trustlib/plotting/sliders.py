"""Sliders that move a picture in the static page: without a kernel, without a network, and by keyboard."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from trustlib.plotting.encoding import Picture, compress, render
from trustlib.plotting.figures import check_figure, check_texts, check_type, close, emit
from trustlib.plotting.limits import Limits, apply_limits, fix_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_BYTES = 2_500_000  # pictures behind all sliders of one page, as they lie in its HTML
FRAME_DPI = 144
_MOST = 500  # pictures behind the sliders of one view


@dataclass(frozen=True)
class Slider:
    """One slider of a view.

    Args:
        label: what it changes, with symbol and unit.
        values: the positions, at least two, in the order of the slider.
        start: the value shown first; None for the first one.
        text: how the values are written; None writes numbers with up to four digits and all else with ``str``.

    Raises:
        ValueError: no label, fewer than two values, two values that are written alike, or a start that is not among
            them.

    Example:
        >>> slider = Slider("Privacy budget ε", [0.1, 1.0], start=1.0)
        >>> slider.first, slider.options
        (1, ['0.1', '1'])
    """

    label: str
    values: Sequence[Any]
    start: Any = None
    text: Callable[[Any], str] | None = None

    def __post_init__(self) -> None:
        if not self.label.strip():
            raise ValueError("label must say what the slider changes, got an empty text.")
        object.__setattr__(self, "values", tuple(self.values))
        written = self.options
        if len(self.values) < 2 or len(set(written)) != len(written):
            raise ValueError(
                f"values of {self.label!r} must be at least two positions that are written differently, got "
                f"{', '.join(written) or 'none'}."
            )
        if self.start is not None and self.start not in self.values:
            raise ValueError(
                f"start of {self.label!r} must be one of {list(self.values)!r}, got {self.start!r}."
            )

    @property
    def first(self) -> int:
        """Index of the value shown first."""
        return 0 if self.start is None else self.values.index(self.start)

    @property
    def options(self) -> list[str]:
        """The values as they are written."""
        return [self.written(value) for value in self.values]

    @property
    def numeric(self) -> bool:
        """Whether all values are numbers, so that there is something in between."""
        return all(isinstance(value, Real) and not isinstance(value, bool) for value in self.values)

    def written(self, value: Any) -> str:
        """One value as it is written."""
        if self.text is not None:
            return self.text(value)
        plain = isinstance(value, Real) and not isinstance(value, bool | int)
        return f"{value:.4g}" if plain else str(value)


@dataclass(frozen=True)
class Frame:
    """One picture behind the sliders.

    Args:
        picture: the compressed figure.
        alt: its description.
    """

    picture: Picture
    alt: str


@dataclass(frozen=True)
class View:
    """How positions become a picture.

    Args:
        sliders: by the name of the argument of ``draw``.
        draw: values by name -> figure.
        alt: values by name -> description, or one text for all.
        name: label of the view.
        caption: caption of the view.
    """

    sliders: Mapping[str, Slider]
    draw: Callable[..., Figure]
    alt: Callable[..., str] | str
    name: str
    caption: str

    def combinations(self) -> list[dict[str, Any]]:
        """All combinations of values; the last slider varies fastest."""
        values = itertools.product(*(slider.values for slider in self.sliders.values()))
        return [dict(zip(self.sliders, chosen, strict=True)) for chosen in values]

    def first(self) -> int:
        """Index of the combination shown first."""
        index = 0
        for slider in self.sliders.values():
            index = index * len(slider.values) + slider.first
        return index

    def figure(self, chosen: Mapping[str, Any]) -> Figure:
        """Draw one figure; what goes wrong says where."""
        try:
            figure = self.draw(**chosen)
        except Exception as error:
            at = ", ".join(f"{key}={value!r}" for key, value in chosen.items())
            error.add_note(f"This happened while {self.name!r} was drawn at {at}.")
            raise
        check_type(figure, self.name)
        close(figure)
        return figure

    def description(self, chosen: Mapping[str, Any]) -> str:
        """The alt text of one picture, checked."""
        if callable(self.alt):
            text = self.alt(**chosen)
        else:
            places = (f"{s.label}: {s.written(chosen[key])}" for key, s in self.sliders.items())
            text = f"{self.alt} {', '.join(places)}." if self.alt.strip() else ""
        check_texts(self.name, self.caption, text)
        return text

    def frame(self, figure: Figure, chosen: Mapping[str, Any], limits: Limits | None) -> Frame:
        """Render, check and compress one figure."""
        if limits is not None:
            apply_limits(figure, limits)
        png = render(figure, dpi=FRAME_DPI)
        check_figure(figure, self.name)
        return Frame(compress(png, dpi=FRAME_DPI), self.description(chosen))


def frames(
    sliders: Mapping[str, Slider],
    draw: Callable[..., Figure],
    *,
    name: str,
    caption: str,
    alt: Callable[..., str] | str,
    limits: Literal["common", "own"] = "common",
    recompute: bool = False,
) -> None:
    """Put a picture into the page that follows one or more sliders, without a kernel and without a network.

    Every combination of positions is drawn now: with 5 and 6 positions these are 30 pictures. In the page a stack of
    pictures follows its slider inside the browser, by mouse and by arrow keys; several sliders are stacks of stacks.
    The build of the book makes it a numbered figure, as it does for `show`. PDF and other readers without scripts get
    the picture at the starting positions.

    Args:
        sliders: one to three sliders by the name of the argument of ``draw``, at most 500 combinations.
        draw: called with one value per slider as keyword arguments; returns a new figure each time, as `show` takes it,
            always of the same size.
        name: label of the view, unique in the book, lower case with hyphens.
        caption: one or two sentences that hold at every position.
        alt: text for each picture, from the same arguments as ``draw``; or one text, to which the positions are added.
        limits: "common" gives all pictures the smallest axis limits that hold all of them, so that nothing jumps;
            "own" leaves each picture its own.
        recompute: with a kernel, the first move of a slider opens fields below the picture that draw any number between
            the first and the last of its values, not only those drawn ahead.

    Raises:
        TypeError: sliders, figures or texts of another type.
        ValueError: as for `show`, for every picture; too many sliders or pictures; pictures of different size; more
            than 2.5 MB of pictures in the page.

    Example:
        >>> from matplotlib.figure import Figure
        >>> def draw(a):
        ...     figure = Figure(figsize=(3, 2), layout="constrained")
        ...     figure.subplots().plot([0, a])
        ...     figure.axes[0].set(xlabel="x", ylabel="y")
        ...     return figure
        >>> frames({"a": Slider("End a", [1, 2])}, draw, name="view-a", caption="A line.", alt="A line, rising.")
        <view-a: A line, rising. End a: 1.>
        <view-a: A line.>
    """
    view = View(sliders, draw, alt, name, caption)
    _check_call(view, limits)
    from trustlib.plotting import player  # ipywidgets: only where a slider is drawn

    chosen = view.combinations()
    figures = [view.figure(values) for values in chosen]
    _check_new(figures, name)
    common = fix_limits(figures) if limits == "common" else None
    made = list(_weighed(view, figures, chosen, common, others=player.weight_of_others(name)))
    _check_sizes(made, name)
    box = player.FrameBox(view, made)
    if recompute:
        player.open_number_fields(box, view, common)
    first = made[view.first()]
    mime = "application/vnd.jupyter.widget-view+json"
    bundle = {
        mime: {"version_major": 2, "version_minor": 0, "model_id": box.model_id},
        "image/png": render(figures[view.first()]),
    }
    size = {"image/png": {"width": first.picture.width, "height": first.picture.height}}
    emit(bundle, size, name=name, caption=caption, alt=first.alt)


def _check_call(view: View, limits: str) -> None:
    """Refuse what can be refused before anything is drawn."""
    sliders = view.sliders
    if not isinstance(sliders, Mapping) or not all(isinstance(s, Slider) for s in sliders.values()):
        raise TypeError(
            'sliders must be a mapping from arguments of draw to sliders, {"epsilon": Slider(...)}, got '
            f"{type(sliders).__name__}."
        )
    if not 1 <= len(sliders) <= 3:
        raise ValueError(f"frames needs one to three sliders, got {len(sliders)}.")
    if not callable(view.draw):
        raise TypeError(f"draw must be a function that returns a figure, got {type(view.draw).__name__}.")
    if not (callable(view.alt) or isinstance(view.alt, str)):
        raise TypeError(f"alt must be a function or a text, got {type(view.alt).__name__}.")
    if limits not in ("common", "own"):
        raise ValueError(f'limits must be "common" or "own", got {limits!r}.')
    count = math.prod(len(slider.values) for slider in sliders.values())
    if count > _MOST:
        sizes = " x ".join(str(len(slider.values)) for slider in sliders.values())
        raise ValueError(
            f"{view.name!r} would have {sizes} = {count} pictures, {_MOST} are the most: take fewer values."
        )
    view.description(view.combinations()[view.first()])


def _check_new(figures: list[Figure], name: str) -> None:
    """Refuse a function that changes one figure instead of making new ones."""
    if len({id(figure) for figure in figures}) < len(figures):
        raise ValueError(
            f"draw returned the same figure twice for {name!r}: make a new one inside the function."
        )


def _weighed(
    view: View, figures: list[Figure], chosen: list[dict[str, Any]], limits: Limits | None, *, others: int
) -> Iterator[Frame]:
    """The pictures one after the other, until the page is too heavy."""
    total = 0
    for count, (figure, values) in enumerate(zip(figures, chosen, strict=True), start=1):
        frame = view.frame(figure, values, limits)
        total += frame.picture.weight
        if total + others > PAGE_BYTES:
            fit = int((PAGE_BYTES - others) * count / total)
            beside = f" beside the {others / 1e6:.1f} MB of other sliders" if others else ""
            raise ValueError(
                f"the {len(figures)} pictures of {view.name!r} take {total / count / 1e3:.0f} kB each; about {fit} "
                f"fit into the {PAGE_BYTES / 1e6:.1f} MB of a page{beside}: take fewer positions, smaller figures or "
                "fewer colours."
            )
        yield frame


def _check_sizes(made: list[Frame], name: str) -> None:
    """Refuse pictures that would make the page jump."""
    sizes = sorted({(frame.picture.width, frame.picture.height) for frame in made})
    if len(sizes) > 1:
        found = ", ".join(f"{width} x {height}" for width, height in sizes)
        raise ValueError(
            f"the pictures of {name!r} must have one size, got {found} pixels: fix figsize in draw."
        )
