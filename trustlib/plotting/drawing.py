"""Small pieces that figures share: bands, reference lines, panels. They draw what they are given, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from trustlib.plotting.theme import WIDTH, MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def band(
    axes: Axes,
    x: ArrayLike,
    centre: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    label: str,
    style: MethodStyle,
) -> None:
    """A line with markers and a shaded band around it.

    Args:
        axes: where to draw.
        x: positions, shape (k,).
        centre: the line, shape (k,).
        low: lower edge of the band, shape (k,).
        high: upper edge, shape (k,).
        label: for the legend.
        style: colour, marker and dash of the method.

    Raises:
        ValueError: shapes that do not agree.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> band(axes, [0, 1], [1, 2], [0, 1], [2, 3], label="a", style=MethodStyle((0, 0, 0), "o", ()))
        >>> plt.close(figure)
    """
    values = [np.asarray(v, dtype=float) for v in (x, centre, low, high)]
    if len({v.shape for v in values}) != 1:
        raise ValueError(
            f"x, centre, low and high must have the same shape, got {[v.shape for v in values]}."
        )
    axes.plot(values[0], values[1], label=label, **style.line())  # type: ignore[arg-type]
    axes.fill_between(values[0], values[2], values[3], color=style.color, alpha=0.2, linewidth=0)


def reference_line(
    axes: Axes,
    value: float,
    label: str,
    *,
    along: Literal["x", "y"] = "y",
    side: Literal["left", "right"] = "right",
) -> None:
    """A dashed grey line with its name written on it: a chance level, a threshold, the paper's number.

    Args:
        axes: where to draw.
        value: position on the y axis (or on the x axis with ``along="x"``).
        label: what it is.
        along: which axis the value belongs to.
        side: where the name stands.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, axes = plt.subplots()
        >>> reference_line(axes, 0.5, "chance")
        >>> plt.close(figure)
    """
    line = {"color": "0.25", "linestyle": (0, (4, 3)), "linewidth": 1.2, "zorder": 1.5}
    if along == "y":
        axes.axhline(value, **line)  # type: ignore[arg-type]
        edge = 0.005 if side == "left" else 0.995
        place = {"xy": (edge, value), "xycoords": ("axes fraction", "data"), "ha": side, "va": "bottom"}
    else:
        axes.axvline(value, **line)  # type: ignore[arg-type]
        place = {"xy": (value, 0.99), "xycoords": ("data", "axes fraction"), "va": "top"}
        place["ha"] = "left" if side == "right" else "right"
    axes.annotate(label, fontsize=9, color="0.25", xytext=(0, 1), textcoords="offset points", **place)  # type: ignore[arg-type]


def small_multiples(
    titles: Sequence[str], *, columns: int = 3, height: float = 2.4, share_y: bool = True
) -> tuple[Figure, list[Axes]]:
    """A row or grid of panels with one title each, sharing their axes.

    Args:
        titles: one per panel, at least one.
        columns: panels in a row, >= 1.
        height: of one panel, in inches.
        share_y: whether all panels share the y axis.

    Returns:
        The figure (at most 7 inches wide) and its panels in order.

    Raises:
        ValueError: no title, or columns < 1.

    Example:
        >>> import matplotlib.pyplot as plt
        >>> figure, panels = small_multiples(["a", "b"])
        >>> len(panels)
        2
        >>> plt.close(figure)

    Source: Tufte 1983.
    """
    import matplotlib.pyplot as plt

    if not titles or columns < 1:
        raise ValueError(
            f"small_multiples needs at least one title and one column, got {list(titles)}, {columns}."
        )
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(WIDTH, height * rows),
        sharex=True,
        sharey=share_y,
        squeeze=False,
        layout="constrained",
    )
    panels = list(grid.flat)
    for panel in panels[len(titles) :]:
        panel.set_axis_off()
    for panel, title in zip(panels, titles, strict=False):
        panel.set_title(title)
    return figure, panels[: len(titles)]
