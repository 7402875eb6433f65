"""One look for all figures: white ground, colour-blind-safe colours, one colour and marker per method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Order of use: colours of seaborn's "colorblind" palette that stay apart in grey, and a marker and dash for each.
_COLOURS = (0, 3, 2, 1, 4, 7, 9, 5, 8, 6)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_DASHES: tuple[tuple[int, ...], ...] = (
    (),
    (5, 2),
    (2, 2),
    (6, 2, 1, 2),
    (1, 1),
    (8, 2),
    (3, 1),
    (4, 1, 1, 1),
    (7, 1),
    (1, 2),
)
WIDTH = 7.0  # inches, the widest a figure may be
DPI = 150


@dataclass(frozen=True)
class MethodStyle:
    """How one method is drawn in every figure of a chapter.

    Args:
        color: RGB in [0, 1].
        marker: matplotlib marker.
        dashes: on and off lengths in points; empty for a solid line.
    """

    color: tuple[float, float, float]
    marker: str
    dashes: tuple[int, ...]

    def line(self) -> dict[str, object]:
        """Keyword arguments for ``Axes.plot``."""
        return {
            "color": self.color,
            "marker": self.marker,
            "linestyle": (0, self.dashes) if self.dashes else "-",
        }


def use_theme() -> None:
    """Set the seaborn theme of the book for this process: call it in the first cell of a notebook.

    White ground (also readable on dark pages), text of at least 9 pt, grid lines, the colour-blind-safe palette, no
    time stamps in files. Changes matplotlib's rcParams; nothing in the library calls it by itself.

    Example:
        >>> use_theme()

    Source: Waskom 2021 (seaborn); palette after Wong 2011.
    """
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=0.9)
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": DPI,
            "savefig.dpi": DPI,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.frameon": True,
            "legend.framealpha": 0.9,
            "lines.markersize": 5,
            "svg.hashsalt": "trustlib",
        }
    )


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """A colour, marker and dash for each method, the same in all figures that use the same list.

    Args:
        methods: distinct names in a fixed order, at most 10.

    Returns:
        Style by name.

    Raises:
        ValueError: a name twice, or more than 10 methods.

    Example:
        >>> method_styles(["ours", "theirs"])["ours"].marker
        'o'

    Source: this book.
    """
    import seaborn as sns

    names = list(methods)
    if len(set(names)) != len(names):
        raise ValueError(f"methods must be distinct, got {names}.")
    if len(names) > len(_COLOURS):
        raise ValueError(
            f"at most {len(_COLOURS)} methods can be told apart, got {len(names)}: split the figure."
        )
    palette = sns.color_palette("colorblind")
    return {
        name: MethodStyle(tuple(palette[_COLOURS[i]]), _MARKERS[i], _DASHES[i])
        for i, name in enumerate(names)
    }
