"""One look for all figures: white ground, colour-blind-safe colours, one colour and marker per method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

# Order of use: the colours of seaborn's "colorblind" palette that stand out from white, those that stay apart in grey
# first, with a marker and a dash for each.
_COLOURS = (0, 3, 2, 1, 4, 7, 9, 5)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_DASHES: tuple[tuple[int, ...], ...] = (
    (),
    (5, 2),
    (2, 2),
    (6, 2, 1, 2),
    (1, 1),
    (8, 2),
    (3, 1),
    (4, 1, 1, 1),
)
WIDTH = 7.0  # inches, the widest a figure may be
MIN_POINTS = 9.0  # the smallest text a reader is asked to read
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

    def points(self) -> dict[str, object]:
        """Keyword arguments for ``Axes.scatter`` and ``Axes.errorbar``."""
        return {"color": self.color, "marker": self.marker}


def use_theme() -> None:
    """Set the look of every figure that follows: call it in the first cell of a notebook.

    seaborn's ``whitegrid``, context ``notebook``, palette ``colorblind``; white behind figure and axes, so that a
    picture reads the same on a dark page; text of at least 9 points; 150 dpi; the font that ships with matplotlib,
    so that pictures are equal on all machines. It changes matplotlib's rcParams; nothing in the library calls it.

    Example:
        >>> import matplotlib
        >>> with matplotlib.rc_context():
        ...     use_theme()
        ...     matplotlib.rcParams["figure.facecolor"]
        'white'

    Source: seaborn (Waskom, 2021); colour-blind palette after Wong, Nature Methods 2011.
    """
    import matplotlib as mpl
    import seaborn as sns

    sns.set_theme(context="notebook", style="whitegrid", palette="colorblind", font_scale=0.9)
    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.dpi": DPI,
            "savefig.dpi": DPI,
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.sans-serif": ["DejaVu Sans"],
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.title_fontsize": 9,
            "legend.frameon": True,
            "legend.framealpha": 0.9,
            "lines.markersize": 5,
            "image.cmap": "viridis",
            "svg.hashsalt": "trustlib",
        }
    )


def method_styles(methods: Iterable[str]) -> dict[str, MethodStyle]:
    """A colour, marker and dash for each method, the same in all figures that use the same list.

    Args:
        methods: 1 to 8 different names; their order decides.

    Returns:
        Style by name. Colours are dark enough on white, markers and dashes tell methods apart in grey.

    Raises:
        ValueError: no name, a name twice, or more than 8.

    Example:
        >>> styles = method_styles(["ours", "theirs"])
        >>> styles["ours"].marker, styles["theirs"].marker
        ('o', 's')
    """
    names = list(methods)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"methods must be different names, got {', '.join(repeated)} more than once.")
    if not 1 <= len(names) <= len(_COLOURS):
        raise ValueError(
            f"methods must be 1 to {len(_COLOURS)} names, because no more can be told apart, got {len(names)}. "
            "Split the figure into small multiples."
        )
    import seaborn as sns

    palette = sns.color_palette("colorblind")
    return {
        name: MethodStyle(tuple(palette[colour]), marker, dashes)
        for name, colour, marker, dashes in zip(names, _COLOURS, _MARKERS, _DASHES, strict=False)
    }
