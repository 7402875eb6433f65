"""Pieces that figures share: bands, reference lines, panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.plotting.theme import MIN_POINTS, WIDTH, MethodStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Spread = Literal["t", "quantiles", "range"]


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
    """A line with markers and a shaded band around it, from an interval that was computed before.

    Args:
        axes: where to draw.
        x: positions, shape (k,).
        centre: the line, shape (k,).
        low: lower edge of the band, shape (k,), <= centre.
        high: upper edge, shape (k,), >= centre.
        label: for the legend.
        style: colour, marker and dash of the method.

    Raises:
        ValueError: shapes that do not agree, or an edge on the wrong side of the line. Places with NaN stay empty.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axes = Figure().subplots()
        >>> style = MethodStyle((0, 0, 0), "o", ())
        >>> band(axes, [0, 1], [1, 2], [0, 1], [2, 3], label="a", style=style)
        >>> len(axes.lines), len(axes.collections)
        (1, 1)
    """
    place, line, below, above = (np.asarray(v, dtype=float) for v in (x, centre, low, high))
    shapes = [v.shape for v in (place, line, below, above)]
    if place.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(f"x, centre, low and high must have one common shape (k,), got {shapes}.")
    slack = 1e-9 * np.maximum(1.0, np.abs(line))
    wrong = np.flatnonzero((below > line + slack) | (above < line - slack))
    if len(wrong):
        k = wrong[0]
        raise ValueError(
            f"low <= centre <= high must hold, got {below[k]:g}, {line[k]:g}, {above[k]:g} at x = {place[k]:g}. "
            "Give the edges themselves, not the distances from the centre."
        )
    look: dict[str, Any] = style.line()
    axes.plot(place, line, label=label, **look)
    axes.fill_between(place, below, above, color=style.color, alpha=0.2, linewidth=0)


def sample_band(
    axes: Axes,
    x: ArrayLike,
    samples: ArrayLike,
    *,
    unit: str,
    spread: Spread,
    label: str,
    style: MethodStyle,
    level: float = 0.95,
) -> str:
    """Repeated measurements as a line with the band of their spread.

    - ``t``: mean +- t((1 + level) / 2; s - 1) * sd / sqrt(s), sd with s - 1: how well the mean is known.
    - ``quantiles``: median, and the quantiles (1 - level) / 2 and (1 + level) / 2: how much the units differ.
    - ``range``: median, smallest and largest: for a handful of units; level is not used.

    For claims use `trustlib.claims.interval`, and `band` for any interval that was computed elsewhere.

    Args:
        axes: where to draw.
        x: positions, shape (k,).
        samples: shape (s, k): one row per unit, finite; s >= 2 for "t", else s >= 1.
        unit: what the rows are, in the plural: "seeds", "splits", "points".
        spread: one of the three above.
        label: for the legend.
        style: colour, marker and dash of the method.
        level: coverage, in (0, 1).

    Returns:
        What line and band are, for the caption: "mean and 95 % t interval over 5 seeds".

    Raises:
        ValueError: shapes that do not agree, values that are not finite, too few rows, level not in (0, 1), no
            unit, or an unknown spread.

    Example:
        >>> from matplotlib.figure import Figure
        >>> style = MethodStyle((0, 0, 0), "o", ())
        >>> values = [[1.0, 2.0], [3.0, 4.0]]
        >>> sample_band(Figure().subplots(), [0, 1], values, unit="seeds", spread="t", label="a", style=style)
        'mean and 95 % t interval over 2 seeds'
    """
    table = _checked_samples(x, samples, unit, spread, level)
    count = len(table)
    if spread == "t":
        from scipy.stats import t

        centre = table.mean(axis=0)
        half = t.ppf((1 + level) / 2, count - 1) * table.std(axis=0, ddof=1) / np.sqrt(count)
        low, high = centre - half, centre + half
        note = f"mean and {100 * level:g} % t interval over {count} {unit}"
    elif spread == "quantiles":
        low, centre, high = np.quantile(table, [(1 - level) / 2, 0.5, (1 + level) / 2], axis=0)
        note = f"median and central {100 * level:g} % of {count} {unit}"
    else:
        low, centre, high = table.min(axis=0), np.median(table, axis=0), table.max(axis=0)
        note = f"median and range over {count} {unit}"
    band(axes, x, centre, low, high, label=label, style=style)
    return note


def _checked_samples(
    x: ArrayLike, samples: ArrayLike, unit: str, spread: str, level: float
) -> NDArray[np.float64]:
    """The samples of `sample_band`, shape (s, k), after all checks."""
    place, table = np.asarray(x, dtype=float), np.asarray(samples, dtype=float)
    if spread not in get_args(Spread):
        raise ValueError(f"spread must be one of {', '.join(get_args(Spread))}, got {spread!r}.")
    if not unit.strip():
        raise ValueError('unit must say what varies between rows, such as "seeds", got an empty text.')
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level}. Give 0.95 for 95 %.")
    if place.ndim != 1 or table.ndim != 2 or table.shape[1] != len(place):
        raise ValueError(
            f"x must have shape (k,) and samples (units, k), got {place.shape} and {table.shape}. "
            "One row per unit, one column per position."
        )
    fewest = 2 if spread == "t" else 1
    if len(table) < fewest:
        raise ValueError(
            f'spread="{spread}" needs at least {fewest} rows of samples, got {len(table)}. The spread of one run is '
            "not known: run more, or draw a plain line."
        )
    bad = int((~np.isfinite(table)).any(axis=1).sum())
    if bad:
        raise ValueError(
            f"samples must be finite, got NaN or infinity in {bad} of {len(table)} rows. Drop those rows and say so "
            "in the caption."
        )
    return table


def reference_line(
    axes: Axes,
    value: float,
    label: str,
    *,
    along: Literal["x", "y"] = "y",
    side: Literal["left", "right"] = "right",
) -> Line2D:
    """A dashed grey line with its name written on it: a chance level, a threshold, the paper's number.

    Args:
        axes: where to draw.
        value: position on the y axis (or on the x axis with ``along="x"``), finite.
        label: what it is.
        along: which axis the value belongs to.
        side: where the name stands: at that end of a horizontal line, on that side of a vertical one.

    Returns:
        The line.

    Raises:
        ValueError: a value that is not finite, no label, another axis or another side.

    Example:
        >>> from matplotlib.figure import Figure
        >>> reference_line(Figure().subplots(), 0.5, "chance").get_ydata()
        [0.5, 0.5]
    """
    if along not in ("x", "y"):
        raise ValueError(f'along must be "x" or "y", got {along!r}.')
    if side not in ("left", "right"):
        raise ValueError(f'side must be "left" or "right", got {side!r}.')
    if not np.isfinite(value):
        raise ValueError(f"value must be finite, got {value}. Leave the line out where there is no number.")
    if not label.strip():
        raise ValueError("label must say what the line is, got an empty text.")
    look: dict[str, Any] = {"color": "0.25", "linestyle": (0, (4, 3)), "linewidth": 1.2, "zorder": 1.5}
    text: dict[str, Any] = {"fontsize": MIN_POINTS, "color": "0.25", "textcoords": "offset points"}
    inward = 3 if side == "left" else -3
    if along == "y":
        line = axes.axhline(value, **look)
        place, end = axes.get_yaxis_transform(), 0 if side == "left" else 1
        axes.annotate(label, (end, value), xytext=(inward, 2), xycoords=place, ha=side, va="bottom", **text)
    else:
        line = axes.axvline(value, **look)
        place, towards = axes.get_xaxis_transform(), "right" if side == "left" else "left"
        axes.annotate(label, (value, 1), xytext=(-inward, -3), xycoords=place, ha=towards, va="top", **text)
    return line


def small_multiples(
    titles: Sequence[str],
    *,
    columns: int = 3,
    height: float = 2.4,
    share_x: bool = True,
    share_y: bool = True,
) -> tuple[Figure, list[Axes]]:
    """A row or grid of panels with one title each, on common axes.

    Args:
        titles: one per panel, at least one.
        columns: panels in a row, 1 to 4.
        height: of one panel, in inches, > 0.
        share_x: whether all panels share the x axis.
        share_y: whether all panels share the y axis.

    Returns:
        The figure, 7 inches wide, and its panels in order. A label on the left panel of a row or on the bottom panel
        of a column serves the whole row or column, ``figure.supxlabel`` all.

    Raises:
        ValueError: no title, columns not in 1 to 4, or height <= 0.

    Example:
        >>> figure, panels = small_multiples(["a", "b"])
        >>> [panel.get_title() for panel in panels]
        ['a', 'b']
    """
    import matplotlib.pyplot as plt

    if not titles:
        raise ValueError("titles must name at least one panel, got none.")
    if not 1 <= columns <= 4:
        raise ValueError(f"columns must be 1 to 4, got {columns}: more do not fit {WIDTH:g} inches.")
    if not height > 0:
        raise ValueError(f"height must be a positive number of inches, got {height}.")
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(WIDTH, height * rows),
        sharex=share_x,
        sharey=share_y,
        squeeze=False,
        layout="constrained",
    )
    panels = list(grid.flat)
    for panel in panels[len(titles) :]:
        panel.set_axis_off()
    for panel in panels[len(titles) - columns : len(titles)]:
        panel.tick_params(axis="x", labelbottom=True)  # nothing below it, so it carries the numbers
    for panel, title in zip(panels, titles, strict=False):
        panel.set_title(title)
    return figure, panels[: len(titles)]
