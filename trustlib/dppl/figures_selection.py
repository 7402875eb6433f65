"""Figures of the selection: what is chosen, how often it fits, and what it leaks; nothing is estimated here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.comparison_plan import Vectors
from trustlib.plotting import reference_line, small_multiples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_GAP = 4  # pixels around an image


def hits(probabilities: pd.DataFrame, chance: float) -> Figure:
    """Probability that a chosen public sample shows the class, over its private rows and the level.

    Args:
        probabilities: result of `hit_probabilities`.
        chance: share of such samples in the pool.

    Returns:
        Two panels: against the rows, and against rows times level.
    """
    import seaborn as sns

    titles = ["One curve per level", "The same points on one axis"]
    figure, (left, right) = small_multiples(titles, columns=2, share_x=False, height=2.9)
    levels = sorted(set(probabilities["epsilon"]))
    colors = sns.color_palette("viridis", len(levels) + 1)
    for epsilon, color, marker in zip(levels, colors, "os^DvP*X", strict=False):
        rows = probabilities[probabilities["epsilon"] == epsilon]
        look = {"color": color, "marker": marker}
        left.plot(rows["rows"], rows["probability"], label=f"ε = {epsilon:g}", **look)
        right.plot(rows["rows"] * epsilon, rows["probability"], linestyle="", **look)
    blind = reference_line(right, chance, "drawn blindly")
    left.axhline(
        chance, color=blind.get_color(), linestyle=(0, (4, 3)), linewidth=blind.get_linewidth(), zorder=1.5
    )
    left.set(xscale="log", xlabel="Private rows n of the class", ylabel="Probability of a fitting image")
    right.set(xscale="log", xlabel="n times ε")
    left.set_ylim(-0.03, 1.03)
    left.legend(loc="upper left", fontsize=9)
    return figure


def prototype_board(
    images: NDArray[np.uint8],
    fits: NDArray[np.bool_],
    private: NDArray[np.uint8],
    names: Sequence[str],
) -> Figure:
    """Chosen public images of several classes in several releases, under a private image of each class.

    Args:
        images: shape (releases, classes, 3, h, w).
        fits: whether a public image shows the class, shape (releases, classes).
        private: one private image per class, shape (classes, 3, h, w).
        names: of the classes.

    Returns:
        One panel; images that do not show the class have an orange frame and a cross in the corner.
    """
    import matplotlib.pyplot as plt

    rows, columns = fits.shape
    height, width = images.shape[-2] + 2 * _GAP, images.shape[-1] + 2 * _GAP
    sheet = np.full(((rows + 1) * height, columns * width, 3), 255, dtype=np.uint8)
    for r, c in np.ndindex(rows + 1, columns):
        tile = private[c] if r == 0 else images[r - 1, c]
        if r > 0 and not fits[r - 1, c]:
            sheet[r * height + 1 : (r + 1) * height - 1, c * width + 1 : (c + 1) * width - 1] = (213, 94, 0)
        inside = np.s_[r * height + _GAP : (r + 1) * height - _GAP, c * width + _GAP : (c + 1) * width - _GAP]
        sheet[inside] = tile.transpose(1, 2, 0)
    figure, axes = plt.subplots(figsize=(6.0, 0.9 + 5.2 * len(sheet) / sheet.shape[1]), layout="constrained")
    axes.imshow(_few_colors(sheet), interpolation="nearest")
    axes.grid(visible=False)
    axes.set_xticks(width * (np.arange(columns) + 0.5), [name.replace(" ", "\n") for name in names])
    axes.set_yticks(
        height * (np.arange(rows + 1) + 0.5), ["private", *(f"release {r + 1}" for r in range(rows))]
    )
    for r, c in zip(*np.nonzero(~fits), strict=True):
        axes.scatter(
            c * width + 2 * _GAP,
            (r + 1) * height + 2 * _GAP,
            marker="x",
            s=40,
            color="#d55e00",
            linewidth=2.5,
        )
    axes.set(xlabel="Class", ylabel="Image")
    return figure


def losses(ratios: Mapping[str, Vectors]) -> Figure:
    """Exact worst losses over level, one mark per setting: mechanisms above, planted faults below.

    Args:
        ratios: by name; names that start with "Fault" are drawn as faults.

    Returns:
        One panel with the line at 1 that the guarantee draws.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.8), layout="constrained")
    for place, (name, values) in enumerate(ratios.items()):
        spread = place + np.linspace(-0.2, 0.2, len(values))
        fault = name.startswith("Fault")
        axes.scatter(
            np.minimum(values, 30),
            spread,
            s=22,
            marker="X" if fault else "o",
            color="#d55e00" if fault else "#0173b2",
        )
    axes.set_yticks(range(len(ratios)), list(ratios))
    reference_line(axes, 1.0, "guarantee", along="x", side="right")
    axes.set(xscale="log", xlim=(0.3, 40), xlabel="Largest privacy loss / ε (log scale; 30 and more at 30)")
    axes.set_ylabel("Selection")
    axes.invert_yaxis()
    return figure


def _few_colors(sheet: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same image in at most 64 colours, which keeps a page with many of them small."""
    from PIL import Image

    return np.asarray(Image.fromarray(sheet).quantize(64, dither=Image.Dither.NONE).convert("RGB"))
