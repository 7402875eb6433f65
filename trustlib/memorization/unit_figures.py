"""Figures of the studies of units and interventions: each takes a study's table; nothing is estimated here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.figures import picture, short_names
from trustlib.memorization.unit_responses import UnitGallery, as_images
from trustlib.plotting import band, method_styles, small_multiples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trustlib.plotting import MethodStyle

POINTS = {
    "members": "training images",
    "heldout": "held-out images",
    "untrained": "untrained network",
    "exponential": "exponential draws",
}
ARMS = {
    "top": "highest UnitMem",
    "low": "lowest UnitMem",
    "most active": "highest mean activation",
    "least active": "lowest mean activation",
    "random": "random (range of draws)",
}
UNITMEM = "Mean UnitMem (0 to 1)"


def unitmem_by_layer(table: pd.DataFrame) -> Figure:
    """Mean UnitMem after every layer: on training images, held-out images and in an untrained network.

    Args:
        table: of `unit_evidence.high_units`.

    Returns:
        One panel with one mark per encoder, and lines through their means.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.4), layout="constrained")
    layers, styles = _ordered(table["layer"]), method_styles(POINTS)
    place = {layer: x for x, layer in enumerate(layers)}
    for shift, points in zip((-0.15, 0.0, 0.15), ("members", "heldout", "untrained"), strict=True):
        rows, style = table[table["points"] == points], styles[points]
        x = rows["layer"].map(place) + shift
        axes.scatter(x, rows["mean"], s=20, alpha=0.6, **_marks(style))
        means = rows.groupby("layer")["mean"].mean().loc[layers]
        look = _line(style) | {"marker": ""}
        axes.plot(np.arange(len(layers)) + shift, means, **look)
        axes.plot([], [], label=POINTS[points], **_line(style))  # the line with its mark, for the legend
    _name_layers(axes, layers)
    axes.set(ylabel=UNITMEM, ylim=(0, 1))
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def unit_class_plane(table: pd.DataFrame, layers: Sequence[str] | None = None) -> Figure:
    """Every unit by its UnitMem and its ClassMem, self-supervised and supervised.

    Args:
        table: of `unit_class_evidence.points_and_classes`.
        layers: which, at most four; None takes the first, the middle and the last one.

    Returns:
        One panel per layer; units above the dashed diagonal tell classes apart more than points.
    """
    names = _ordered(table["layer"])
    chosen = (
        list(layers)
        if layers is not None
        else list(dict.fromkeys([names[0], names[len(names) // 2], names[-1]]))
    )
    titles = dict(zip(names, short_names(names), strict=True))
    figure, panels = small_multiples(
        [f"Layer {titles[name]}" for name in chosen], columns=min(4, len(chosen)), height=2.9
    )
    styles = method_styles(["self-supervised", "supervised"])
    for panel, name in zip(panels, chosen, strict=True):
        panel.plot([0, 1], [0, 1], color="0.4", linestyle=(0, (4, 3)), linewidth=1.2)
        for training, style in styles.items():
            rows = table[(table["layer"] == name) & (table["training"] == training)]
            panel.scatter(rows["unitmem"], rows["classmem"], s=12, alpha=0.6, label=training, **_marks(style))
        panel.set(xlabel="UnitMem (0 to 1)", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        panel.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    panels[0].set_ylabel("ClassMem (0 to 1)")
    handles, texts = panels[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2)
    return figure


def size_dependence(table: pd.DataFrame) -> Figure:
    """Mean UnitMem against the number of points it is taken over.

    Args:
        table: of `unit_evidence.size_dependence`.

    Returns:
        One panel: mean over encoders, band from the smallest to the largest encoder.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.2, 3.4), layout="constrained")
    for points, style in method_styles(POINTS).items():
        rows = table[table["points"] == points].groupby("n")["unitmem"]
        centre, low, high = (value.to_numpy() for value in (rows.mean(), rows.min(), rows.max()))
        band(axes, list(rows.groups), centre, low, high, label=POINTS[points], style=style)
    sizes = sorted(table["n"].unique())
    axes.set(xscale="log", ylim=(0, 1), xlabel="Points N (log scale)", ylabel=UNITMEM)
    axes.set_xticks(sizes, [str(n) for n in sizes])
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return figure


def pruning_marks(table: pd.DataFrame, share: float | None = None) -> Figure:
    """What silencing a share of the units of every layer does to the probe, by several orders.

    Args:
        table: of `intervention_evidence.pruning`.
        share: which; None takes the smallest one.

    Returns:
        One panel, one row per order, one mark per encoder: accuracy minus that of the same encoder before; for random
        units the mean of the draws, with a line over their range.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
    intact = table[table["arm"] == "none"].groupby("encoder")["accuracy"].mean()
    chosen = float(table.loc[table["share"] > 0, "share"].min()) if share is None else share
    rows = table[np.isclose(table["share"], chosen)]
    for place, (arm, style) in enumerate(method_styles(ARMS).items()):
        change = rows[rows["arm"] == arm].set_index("encoder")["accuracy"] - intact
        draws = change.groupby(level="encoder")
        y = place + np.linspace(-0.2, 0.2, len(draws)) if len(draws) > 1 else np.array([float(place)])
        axes.hlines(y, draws.min(), draws.max(), color=style.color, linewidth=1.5, alpha=0.6)
        axes.scatter(draws.mean(), y, s=28, **_marks(style))
    axes.axvline(0, color="0.4", linestyle=(0, (4, 3)), linewidth=1.2)
    axes.set_yticks(range(len(ARMS)), list(ARMS.values()))
    axes.invert_yaxis()
    axes.set(xlabel="Probe accuracy minus that of the intact encoder", ylabel="Silenced units")
    return figure


def replacement_drops(table: pd.DataFrame) -> Figure:
    """Accuracy lost by replacing one layer: against its place in the encoder, and against what it memorizes.

    Args:
        table: of `intervention_evidence.replacement`.

    Returns:
        Two panels with one mark per encoder pair and layer, on a common vertical axis.
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 3.0), sharey=True, layout="constrained")
    layers, styles = _ordered(table["layer"]), method_styles(["drop"])
    look = _marks(styles["drop"])
    place = {layer: x for x, layer in enumerate(layers)}
    left.scatter(table["layer"].map(place), table["drop"], s=20, alpha=0.6, **look)
    left.plot(
        range(len(layers)), table.groupby("layer")["drop"].mean().loc[layers], color=styles["drop"].color
    )
    _name_layers(left, layers)
    left.set_ylabel("Accuracy lost (fraction)")
    right.scatter(table["delta"], table["drop"], s=20, alpha=0.6, **look)
    right.set_xlabel("ΔLayerMem of the layer (score)")
    for panel in (left, right):
        panel.axhline(0, color="0.4", linestyle=(0, (4, 3)), linewidth=1.2)
    return figure


def insertion_changes(table: pd.DataFrame) -> Figure:
    """What training on one image does to the UnitMem of a unit.

    Args:
        table: of `insertion_evidence.insertion`.

    Returns:
        One panel: a mark for every inserted image, after minus before, in one column per kind of training.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.6, 3.2), layout="constrained")
    arms = _ordered(table["arm"])
    look = _marks(method_styles(["unit"])["unit"])
    for x, arm in enumerate(arms):
        rows = table[table["arm"] == arm]
        shift = np.linspace(-0.25, 0.25, len(rows)) if len(rows) > 1 else np.zeros(1)
        axes.scatter(x + shift, rows["after"] - rows["before"], s=24, **look)
    axes.axhline(0, color="0.4", linestyle=(0, (4, 3)), linewidth=1.2)
    axes.set_xticks(range(len(arms)), arms)
    axes.set(xlim=(-0.6, len(arms) - 0.4), xlabel="What was trained", ylabel="UnitMem after minus before")
    return figure


def unit_browser(gallery: UnitGallery, members: Any, heldout: Any) -> Figure:
    """The favourite training images of some units, and beside them their favourite held-out images.

    Args:
        gallery: from `unit_responses.unit_gallery`.
        members: the training images that it was made from, (N, C, H, W).
        heldout: the held-out images, (N, C, H, W).

    Returns:
        One row per unit; above each image the unit's mean activation, as a share of its largest one on both sides.
    """
    import matplotlib.pyplot as plt

    rows, k = gallery.members.shape
    figure, grid = plt.subplots(
        rows, 2 * k + 1, figsize=(7.0, 7.0 / (2 * k + 1) * rows * 1.3 + 0.4), squeeze=False, layout="constrained",
        gridspec_kw={"width_ratios": [1] * k + [0.25] + [1] * k},
    )  # fmt: skip
    sides = (
        (_pixels(members, "members"), gallery.members, gallery.member_response, 0),
        (_pixels(heldout, "heldout"), gallery.heldout, gallery.heldout_response, k + 1),
    )
    top = np.maximum(gallery.member_response[:, 0], gallery.heldout_response[:, 0])
    for row, line in enumerate(grid):
        for axes in line:
            axes.axis("off")
        for images, index, response, start in sides:
            for axes, image, value in zip(line[start:], index[row], response[row], strict=False):
                picture(axes, images[image])
                axes.set_title(f"{value / top[row]:.2f}" if top[row] > 0 else "0", fontsize=9, pad=2)
        scores = f"{gallery.unitmem[row]:.2f} | {gallery.unitmem_heldout[row]:.2f}"
        line[0].annotate(
            f"unit {gallery.units[row]}\n{scores}", (-0.1, 0.5), xycoords="axes fraction", ha="right",
            va="center", fontsize=9, annotation_clip=False,
        )  # fmt: skip
    return figure


def _marks(style: MethodStyle) -> dict[str, Any]:
    """Keyword arguments for ``Axes.scatter``."""
    return style.points()


def _line(style: MethodStyle) -> dict[str, Any]:
    """Keyword arguments for ``Axes.plot``."""
    return style.line()


def _pixels(images: Any, what: str) -> NDArray[np.uint8]:
    """Images as bytes, (N, C, H, W)."""
    return (as_images(images, what) * 255).round().byte().cpu().numpy()


def _ordered(column: pd.Series) -> list[str]:
    """Values in the order in which they come."""
    return list(dict.fromkeys(column))


def _name_layers(axes: Axes, layers: Sequence[str]) -> None:
    """Names of layers along the horizontal axis, without what they share."""
    axes.set_xticks(range(len(layers)), short_names(layers))
    axes.set_xlabel("Layer, in order of execution")
