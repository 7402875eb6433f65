"""Equal axes for figures that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Limits = list[dict[str, tuple[float, float]]]  # per axes of a figure: "x", "y" (and "z") -> limits


def fix_limits(figures: Sequence[Figure]) -> Limits:
    """Give figures of the same build the same axis limits: the smallest that hold all data.

    A picture that moves behind a slider misleads if its axes move with it. Colour scales are not touched: give
    the same ``vmin`` and ``vmax`` to all.

    Args:
        figures: at least one, all with the same number of axes in the same order; changed in place.

    Returns:
        Per axes, the limits of every direction, as `apply_limits` takes them.

    Raises:
        ValueError: no figure, or figures with different numbers of axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> figures = [Figure(), Figure()]
        >>> for figure, top in zip(figures, (1, 5)):
        ...     figure.subplots().set(xlim=(0, 1), ylim=(0, top))
        [...]
        [...]
        >>> limits = fix_limits(figures)
        >>> [tuple(float(end) for end in figure.axes[0].get_ylim()) for figure in figures]
        [(0.0, 5.0), (0.0, 5.0)]
    """
    counts = sorted({len(figure.axes) for figure in figures})
    if len(counts) != 1:
        found = f"figures with {' and '.join(map(str, counts))} axes" if counts else "none"
        raise ValueError(f"figures must all have the same axes, got {found}.")
    common = [
        {name: _union([_ends(ax, name) for ax in alike]) for name in _directions(alike[0])}
        for alike in zip(*(figure.axes for figure in figures), strict=True)
    ]
    for figure in figures:
        apply_limits(figure, common)
    return common


def apply_limits(figure: Figure, limits: Limits) -> None:
    """Set the limits that `fix_limits` found."""
    for ax, ends in zip(figure.axes, limits, strict=True):
        for name, pair in ends.items():
            getattr(ax, f"set_{name}lim")(*pair)


def _directions(ax: Axes) -> list[str]:
    """The directions whose limits are free; those of a colour bar belong to its colours."""
    if ax.get_label() == "<colorbar>":
        return []
    return [name for name in "xyz" if hasattr(ax, f"get_{name}lim")]


def _ends(ax: Any, name: str) -> tuple[float, float]:
    """Limits of one direction of one axes."""
    first, last = getattr(ax, f"get_{name}lim")()
    return float(first), float(last)


def _union(pairs: list[tuple[float, float]]) -> tuple[float, float]:
    """The smallest interval that holds all, in the direction of the first."""
    ends = [end for pair in pairs for end in pair]
    return (max(ends), min(ends)) if pairs[0][0] > pairs[0][1] else (min(ends), max(ends))
