"""The chapter's figures of points and layers: each takes results and returns a figure; nothing is estimated here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.layermem import LayerMem
from trustlib.plotting import band, method_styles, reference_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]
SUBSETS = {
    "C": "candidates (only f)", "S": "shared (both)", "E": "external (neither)", "I": "independent (only g)",
}  # fmt: skip
RATIO = "SSLMem, ratio score"


def _colours() -> dict[str, Any]:
    styles = method_styles(tuple(SUBSETS))
    return {name: styles[name].color for name in SUBSETS}


def subsets(frame: pd.DataFrame, column: str = "score", label: str = RATIO) -> Figure:
    """Scores of the four subsets under every pair, as quartile boxes with means.

    Args:
        frame: of `score_pairs`.
        column: which score.
        label: of the axis, with the name of the normalisation.
    """
    import matplotlib.pyplot as plt

    pairs = sorted(frame["pair"].unique())
    figure, axes = plt.subplots(figsize=(7.0, 3.4), layout="constrained")
    colours, width = _colours(), 0.8 / len(pairs)
    for row, name in enumerate(SUBSETS):
        for pair in pairs:
            values = frame.loc[(frame["subset"] == name) & (frame["pair"] == pair), column]
            box = axes.boxplot(
                [values], positions=[row + (pair - (len(pairs) - 1) / 2) * width], widths=0.8 * width,
                orientation="horizontal", patch_artist=True, showfliers=False, showmeans=True, manage_ticks=False,
                meanprops={"marker": "D", "markersize": 4, "markerfacecolor": "white", "markeredgecolor": "black"},
                medianprops={"color": "black"},
            )  # fmt: skip
            box["boxes"][0].set(facecolor=colours[name], alpha=0.75)
    axes.axvline(0, color="0.4", linestyle=(0, (4, 3)), linewidth=1)
    axes.set_yticks(range(len(SUBSETS)), list(SUBSETS.values()))
    axes.invert_yaxis()
    axes.set(xlabel=label, ylabel="Points")
    return figure


def alignments(frame: pd.DataFrame, pair: int = 0) -> Figure:
    """Alignment loss under g against that under f, one mark per point, candidates and external points.

    Args:
        frame: of `score_pairs`.
        pair: which encoder pair.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 4.4), layout="constrained")
    colours, rows = _colours(), frame[frame["pair"] == pair]
    for name, marker in (("E", "s"), ("C", "o")):
        some = rows[rows["subset"] == name]
        axes.scatter(
            some["align_f"],
            some["align_g"],
            s=14,
            marker=marker,
            color=colours[name],
            alpha=0.7,
            label=SUBSETS[name],
        )
    top = 1.05 * float(rows[["align_f", "align_g"]].to_numpy().max())
    axes.plot([0, top], [0, top], color="0.4", linestyle=(0, (4, 3)), linewidth=1)
    axes.set(
        xlim=(0, top),
        ylim=(0, top),
        xlabel="Distance of two views under f (unit sphere)",
        ylabel="Distance under g (unit sphere)",
    )
    axes.legend(loc="lower right")
    return figure


def gallery(rows: Mapping[str, tuple[Pixels, Sequence[float]]], columns: int = 8) -> Figure:
    """Rows of images with a number under each.

    Args:
        rows: title of the row -> images uint8 (k, C, S, S) and their scores.
        columns: images per row.
    """
    import matplotlib.pyplot as plt

    figure, grid = plt.subplots(
        len(rows), columns, figsize=(7.0, 1.15 * len(rows) + 0.2), layout="constrained", squeeze=False
    )
    for line, (title, (images, values)) in zip(grid, rows.items(), strict=True):
        for axes in line:
            axes.axis("off")
        for axes, image, value in zip(line, images, values, strict=False):
            picture(axes, image)
            axes.set_title(f"{value:.2f}", fontsize=9, pad=2)
        line[0].axis("on")
        line[0].set(xticks=[], yticks=[])
        line[0].set_ylabel(title, fontsize=9)
    return figure


def picture(axes: Axes, image: Pixels) -> None:
    """One image (C, S, S), grey or in colour."""
    shown = np.moveaxis(np.asarray(image), 0, -1)
    grey = shown.shape[-1] == 1
    axes.imshow(shown[..., 0] if grey else shown, cmap="gray" if grey else None, interpolation="nearest")


def training(frame: pd.DataFrame) -> Figure:
    """Excess over training with its interval, and the mean score of the external points.

    Args:
        frame: columns epoch, excess, low, high, external.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.2, 3.4), layout="constrained")
    style = method_styles(("excess", "external"))
    x = frame["epoch"].to_numpy()
    columns = (frame[name].to_numpy() for name in ("excess", "low", "high"))
    band(axes, x, *columns, label="candidates minus external", style=style["excess"])
    line: dict[str, Any] = dict(style["external"].line())
    axes.plot(x, frame["external"], label="external alone", **line)
    reference_line(axes, 0.0, "nothing memorized", side="right")
    axes.set(xlabel="Epochs of training", ylabel=RATIO)
    axes.legend(loc="upper left")
    return figure


def score_histogram(candidates: Floats, external: Floats, title: str, limit: float) -> Figure:
    """Scores of candidates and external points at one moment, with means; fixed limits for a slider.

    Args:
        candidates: scores, any shape.
        external: scores, any shape.
        title: of the legend; a page allows a single panel no title of its own.
        limit: of the score axis, > 0.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.2, 3.0), layout="constrained")
    colours, edges = _colours(), np.linspace(-limit, limit, 41)
    for name, values in (("E", external), ("C", candidates)):
        axes.hist(
            np.clip(values.ravel(), -limit, limit), bins=list(edges), density=True, alpha=0.6, color=colours[name],
            label=SUBSETS[name],
        )  # fmt: skip
        axes.axvline(float(values.mean()), color=colours[name], linewidth=2)
    axes.set(xlim=(-limit, limit), xlabel=RATIO, ylabel="Density")
    axes.legend(loc="upper left", title=title)
    return figure


def layers(table: LayerMem, labels: Sequence[str] | None = None) -> Figure:
    """LayerMem of candidates and external points by layer, and what every layer adds to the excess.

    Args:
        table: with external points as control.
        labels: short names of the layers.
    """
    import matplotlib.pyplot as plt

    rows = table.to_frame()
    names = list(labels) if labels is not None else short_names(table.layers)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 3.2), layout="constrained")
    x, colours = np.arange(len(rows)), _colours()
    left.plot(x, rows["layermem"], marker="o", color=colours["C"], label=SUBSETS["C"])
    left.plot(x, rows["control"], marker="s", color=colours["E"], label=SUBSETS["E"])
    left.axhline(0, color="0.4", linestyle=(0, (4, 3)), linewidth=1)
    left.set(ylabel="LayerMem, ratio score", title="Score after every layer")
    left.legend(loc="upper left")
    error = np.abs(rows[["delta_low", "delta_high"]].to_numpy() - rows[["delta_excess"]].to_numpy()).T
    right.bar(x[1:], rows["delta_excess"][1:], color=colours["C"], alpha=0.75)
    right.errorbar(x[1:], rows["delta_excess"][1:], yerr=error[:, 1:], fmt="none", color="black", capsize=3)
    right.axhline(0, color="0.4", linewidth=1)
    right.set(ylabel="Gain of the excess", title="What a layer adds")
    for axes in (left, right):
        axes.set_xticks(x, names)
        axes.set_xlabel("Layer, in order of execution")
    return figure


def short_names(layers: Sequence[str]) -> list[str]:
    """Numbers from 1 for convolutions of a network, in order.

    Example:
        >>> short_names(["body.conv1.conv", "body.conv2.conv"])
        ['1', '2']
    """
    return [str(number) for number in range(1, len(layers) + 1)]


def explorer(table: LayerMem, images: Pixels, layer: int, order: Floats, *, n_images: int = 6) -> Figure:
    """One layer: its scores against those of the last layer, and the images that it memorizes most and least.

    Args:
        table: one encoder pair, or the first of several.
        images: the candidates of that pair, uint8 (n, C, S, S).
        layer: position among the layers.
        order: scores by other draws of the views, (layers, n), which choose the images.
        n_images: in a row.
    """
    import matplotlib.pyplot as plt

    scores = table.scores[0]
    figure = plt.figure(figsize=(7.0, 3.0), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35), squeeze=False)[0]
    axes, limit = left.subplots(), 1.05 * float(np.abs(scores).max())
    axes.scatter(scores[-1], scores[layer], s=9, color=_colours()["C"], alpha=0.7)
    axes.set(
        xlim=(-limit, limit),
        ylim=(-limit, limit),
        xlabel="Score at the last layer",
        ylabel=f"Score at layer {layer + 1}",
    )
    ranked = np.argsort(-order[layer], kind="stable")
    grid = right.subplots(2, n_images)
    for line, chosen, title in zip(
        grid, (ranked[:n_images], ranked[-n_images:]), ("most", "least"), strict=True
    ):
        for panel, point in zip(line, chosen, strict=True):
            picture(panel, images[point])
            panel.set(xticks=[], yticks=[])
            panel.set_title(f"{scores[layer, point]:.2f}", fontsize=9, pad=2)
        line[0].set_ylabel(title, fontsize=9)
    return figure


def overlap(matrix: Floats, chance: float) -> Figure:
    """How far the most memorized fifths of two layers agree.

    Args:
        matrix: of `overlap_matrix`, averaged over pairs.
        chance: overlap of two random fifths.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.6, 3.8), layout="constrained")
    shown = axes.imshow(matrix, vmin=0, vmax=1, cmap="cividis")
    axes.grid(False)
    for row in range(len(matrix)):
        for column in range(len(matrix)):
            value = matrix[row, column]
            axes.text(
                column,
                row,
                f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if value < 0.5 else "black",
            )
    names = [str(n + 1) for n in range(len(matrix))]
    axes.set_xticks(range(len(matrix)), names)
    axes.set_yticks(range(len(matrix)), names)
    axes.set(xlabel="Layer", ylabel="Layer")
    figure.colorbar(shown, label=f"Overlap of the top fifth (chance {chance:.1f})")
    return figure


def normalisations(frame: pd.DataFrame, pair: int = 0) -> Figure:
    """The same candidates and external points under three normalisations, one panel each.

    Args:
        frame: columns pair, subset, none, range, ratio.
        pair: which encoder pair.
    """
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(7.0, 2.7), layout="constrained")
    colours, rows = _colours(), frame[frame["pair"] == pair]
    words = {"none": "none (distance)", "range": "range", "ratio": "ratio"}
    for axes, (column, word) in zip(panels, words.items(), strict=True):
        every = rows[column].to_numpy()
        edges = np.linspace(every.min(), every.max(), 25)
        for name in ("E", "C"):
            axes.hist(
                rows.loc[rows["subset"] == name, column],
                bins=edges,
                color=colours[name],
                alpha=0.6,
                label=name,
            )
        axes.axvline(0, color="0.4", linestyle=(0, (4, 3)), linewidth=1)
        axes.set(xlabel="Score", title=word)
    panels[0].set_ylabel("Points")
    panels[0].legend(title="Subset")
    return figure
