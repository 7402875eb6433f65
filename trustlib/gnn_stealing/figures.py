"""The chapter's figures: each function takes results and returns a figure; nothing is estimated here."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.gnn_stealing.evidence_attacks import LABELS
from trustlib.plotting import MethodStyle, band, method_styles, reference_line, small_multiples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Vector = NDArray[np.float64]
ORDER = ("contrastive", "rmse", "labels", "distillation", "drop", "plain", "signs", "shuffled")
CLASS_MARKERS = "osD^vP*X"


def _line(style: MethodStyle) -> dict[str, Any]:
    """How a line of a method is drawn."""
    return style.line()


def comparison(summary: pd.DataFrame, attacks: Sequence[str], *, unit: str) -> Figure:
    """Fidelity of several attacks by graph, one panel per architecture, with intervals.

    Args:
        summary: columns graph, architecture, attack, centre, low, high.
        attacks: which to show, from top to bottom.
        unit: what the axis shows, such as "Fidelity (fraction of test nodes)".

    Returns:
        One panel per architecture with a common axis.
    """
    graphs = list(dict.fromkeys(summary["graph"]))
    architectures = list(dict.fromkeys(summary["architecture"]))
    styles = method_styles(ORDER)
    height = 1.0 + 0.55 * len(graphs)
    figure, panels = small_multiples([a.upper() for a in architectures], columns=3, height=height)
    offsets = np.linspace(-0.27, 0.27, len(attacks))
    for panel, architecture in zip(panels, architectures, strict=True):
        rows = summary[summary["architecture"] == architecture].set_index(["attack", "graph"])
        for attack, offset in zip(attacks, offsets, strict=True):
            found = rows.loc[attack].loc[graphs]
            centre = found["centre"].to_numpy()
            error = np.abs(found[["low", "high"]].to_numpy().T - centre)
            style = styles[attack]
            panel.errorbar(
                centre, np.arange(len(graphs)) + offset, xerr=error, linestyle="none", color=style.color,
                marker=style.marker, markersize=5, elinewidth=1, label=LABELS[attack],
            )  # fmt: skip
        panel.set_yticks(range(len(graphs)), [g.replace("_", " ") for g in graphs])
        panel.set_ylim(len(graphs) - 0.5, -0.5)
        for border in np.arange(len(graphs) - 1) + 0.5:
            panel.axhline(border, color="0.85", linewidth=0.8)
        panel.grid(visible=False, axis="y")
    panels[0].set_ylabel("Graph")
    figure.supxlabel(unit, fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(attacks), fontsize=9)
    return figure


def budget_curves(summary: pd.DataFrame, attacks: Sequence[str]) -> Figure:
    """Fidelity against the number of queried nodes.

    Args:
        summary: columns attack, nodes, centre, low, high.
        attacks: which to show.

    Returns:
        One panel with a logarithmic axis of query nodes.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.8), layout="constrained")
    styles = method_styles(ORDER)
    shifts = np.geomspace(0.94, 1.06, len(attacks))
    for attack, shift in zip(attacks, shifts, strict=True):
        rows = summary[summary["attack"] == attack].sort_values("nodes")
        centre = rows["centre"].to_numpy()
        error = np.abs(rows[["low", "high"]].to_numpy().T - centre)
        axes.errorbar(
            rows["nodes"] * shift, centre, yerr=error, capsize=2, elinewidth=1, label=LABELS[attack],
            **_line(styles[attack]),
        )  # fmt: skip
    nodes = np.sort(summary["nodes"].unique())
    axes.set(xscale="log", xlabel="Nodes sent to the service (log scale)", ylabel="Fidelity (fraction)")
    axes.set_xticks(nodes, [f"{n:g}" for n in nodes])
    axes.minorticks_off()
    axes.legend(loc="lower right", fontsize=9)
    return figure


def responses(points: Vector, labels: NDArray[np.int64], *, axes_name: str) -> Figure:
    """The answers to the query nodes in two dimensions, coloured and marked by the target's label.

    Args:
        points: shape (n, 2).
        labels: the target's label of every node, shape (n,), integers.
        axes_name: what the axes are.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.6, 3.9), layout="constrained")
    _scatter_classes(axes, points, labels)
    axes.set(xlabel=f"{axes_name}, first axis", ylabel=f"{axes_name}, second axis")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(title="Label by target", loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    return figure


def copies(target: Vector, surrogate: Vector, labels: NDArray[np.int64], agrees: NDArray[np.bool_]) -> Figure:
    """Test nodes in the target's plane, and where the surrogate puts the same nodes.

    Args:
        target: the target's embeddings in two dimensions, shape (n, 2).
        surrogate: the surrogate's embeddings mapped into the same plane, shape (n, 2).
        labels: the target's label of every node, shape (n,), integers.
        agrees: whether the surrogate gives the same label, shape (n,).

    Returns:
        Two panels on the same axes, for a slider.
    """
    figure, (left, right) = small_multiples(["Target", "Surrogate"], columns=2, height=3.3)
    _scatter_classes(left, target, labels)
    _scatter_classes(right, surrogate, labels)
    wrong = surrogate[~agrees]
    right.scatter(
        wrong[:, 0], wrong[:, 1], s=26, marker="x", color="0.1", linewidth=0.8, label="labels differ"
    )
    for panel in (left, right):
        panel.set_xlabel("First principal axis of the target")
    left.set_ylabel("Second principal axis")
    handles, words = right.get_legend_handles_labels()
    figure.legend(handles, words, loc="outside upper center", ncols=len(words), fontsize=9)
    return figure


def _scatter_classes(axes: Axes, points: Vector, labels: NDArray[np.int64]) -> None:
    """One colour and marker per class."""
    import seaborn as sns

    palette = sns.color_palette("colorblind")
    for number in np.unique(labels):
        chosen = points[labels == number]
        marker = CLASS_MARKERS[int(number) % len(CLASS_MARKERS)]
        colour = palette[int(number) % len(palette)]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=9, marker=marker, color=colour, alpha=0.75, label=f"{number}"
        )


def training(histories: Mapping[str, Sequence[float]], lowest: float, collapsed: float) -> Figure:
    """The contrastive loss over the steps of training, between its two closed forms.

    Args:
        histories: loss per step by the name of the run.
        lowest: the smallest value that the loss can take.
        collapsed: its value if all vectors are equal.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.2, 3.2), layout="constrained")
    styles = method_styles(list(histories))
    for name, values in histories.items():
        axes.plot(np.arange(1, len(values) + 1), values, label=name, color=styles[name].color,
                  linestyle=_line(styles[name])["linestyle"])  # fmt: skip
    reference_line(axes, collapsed, "all vectors equal")
    reference_line(axes, lowest, "lowest possible")
    axes.set_ylim(lowest - 0.2, None)
    axes.set(xlabel="Step of training", ylabel="Contrastive loss (nats)")
    axes.legend(loc="center left", bbox_to_anchor=(0.02, 0.3), fontsize=9)
    return figure


def ablation(gains: pd.DataFrame, names: Mapping[str, str], threshold: float) -> Figure:
    """What each way of making a view adds to edge dropping and feature masks, by setting and pooled.

    Args:
        gains: columns view, setting, centre, low, high; the setting "all" is the pooled row.
        names: how a view is written, in the order from top to bottom.
        threshold: the smallest gain that counts as an effect.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 0.9 + 0.55 * len(names)), layout="constrained")
    for place, view in enumerate(names):
        rows = gains[gains["view"] == view]
        single = rows[rows["setting"] != "all"]["centre"].to_numpy()
        spread = place + np.linspace(-0.22, 0.22, max(len(single), 2))[: len(single)]
        axes.scatter(
            single,
            spread,
            s=18,
            facecolor="none",
            edgecolor="0.45",
            label="one setting" if not place else None,
        )
        pooled = rows[rows["setting"] == "all"].iloc[0]
        error = [[pooled["centre"] - pooled["low"]], [pooled["high"] - pooled["centre"]]]
        axes.errorbar(pooled["centre"], place, xerr=error, color="#0173b2", marker="D", capsize=4, zorder=3,
                      label="all settings" if not place else None)  # fmt: skip
    axes.axvline(0, color="0.2", linewidth=1)
    axes.axvline(threshold, color="#d55e00", linestyle=(0, (4, 3)), label="smallest effect that counts")
    axes.set_yticks(range(len(names)), list(names.values()))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlabel="Fidelity minus that of edge dropping and feature masks (fraction)", ylabel="View")
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper center", ncols=3, fontsize=9)
    return figure


def spectrum(changes: Mapping[str, Vector]) -> Figure:
    """How much each view changes each frequency of the query graph.

    Args:
        changes: absolute change of every sorted eigenvalue by the name of the view, each of shape (n,).

    Returns:
        One panel, logarithmic in the change.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.5), layout="constrained")
    styles = method_styles(list(changes))
    for name, values in changes.items():
        place = (np.arange(len(values)) + 0.5) / len(values)
        smooth = _rolling_mean(np.maximum(values, 1e-5), max(1, len(values) // 40))
        axes.plot(
            place, smooth, label=name, color=styles[name].color, linestyle=_line(styles[name])["linestyle"]
        )
    axes.axvline(0.5, color="0.5", linewidth=1)
    axes.set(
        yscale="log",
        xlim=(0, 1),
        ylim=(5e-5, None),
        xlabel="Graph frequency (rank of the eigenvalue, lowest to highest)",
    )
    axes.set_ylabel("Change of the eigenvalue (log scale)")
    axes.legend(loc="lower right", fontsize=9)
    return figure


def _rolling_mean(values: Vector, width: int) -> Vector:
    """Mean over a window, shorter at both ends; shape kept."""
    total = np.convolve(values, np.ones(width), mode="same")
    return total / np.convolve(np.ones(len(values)), np.ones(width), mode="same")


def speed(timings: pd.DataFrame) -> Figure:
    """Processor time of one refresh of the augmentation against the size of the graph.

    Args:
        timings: columns form ("edges", "dense" or "lean"), nodes, seconds.

    Returns:
        One panel, both axes logarithmic.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.8, 3.2), layout="constrained")
    names = {
        "edges": "on the edges",
        "dense": "dense, as published",
        "lean": "dense, without products of diagonal matrices",
    }
    styles = method_styles(list(names))
    for form, name in names.items():
        rows = timings[timings["form"] == form].sort_values("nodes")
        style = styles[form]
        axes.plot(rows["nodes"], rows["seconds"], label=name, **_line(style))
    axes.set(xscale="log", yscale="log", xlabel="Nodes (log scale)", ylabel="Processor time (s, log scale)")
    axes.legend(loc="lower right", fontsize=9)
    return figure


def anatomy(rows: pd.DataFrame, attacks: Sequence[str]) -> Figure:
    """Fidelity against accuracy of the surrogates, and against the agreement that chance alone would give.

    Args:
        rows: columns attack, accuracy, fidelity, target_accuracy, chance; one row per trained surrogate.
        attacks: which to show.

    Returns:
        Two panels.
    """
    titles = ["Against accuracy", "Against agreement by chance"]
    figure, (left, right) = small_multiples(titles, columns=2, height=3.2, share_x=False)
    styles = method_styles(ORDER)
    for attack in attacks:
        found = rows[rows["attack"] == attack]
        look: dict[str, Any] = {
            "s": 22,
            "alpha": 0.75,
            "color": styles[attack].color,
            "marker": styles[attack].marker,
        }
        left.scatter(found["accuracy"], found["fidelity"], label=LABELS[attack], **look)
        right.scatter(found["chance"], found["fidelity"], **look)
    ends = np.array([min(rows["accuracy"].min(), rows["fidelity"].min()) - 0.02, 1.0])
    left.plot(ends, ends, color="0.3", linewidth=1)
    right.plot([0, 1], [0, 1], color="0.3", linewidth=1)
    left.set(xlim=ends, ylim=ends, xlabel="Accuracy (fraction)", ylabel="Fidelity (fraction)")
    right.set(xlim=(max(0, rows["chance"].min() - 0.05), min(1, rows["chance"].max() + 0.05)))
    right.set_xlabel("Agreement by chance (fraction)")
    handles, words = left.get_legend_handles_labels()
    figure.legend(handles, words, loc="outside upper center", ncols=len(attacks), fontsize=9)
    return figure


def mismatch(matrix: pd.DataFrame) -> Figure:
    """Fidelity for every pair of target and surrogate architecture.

    Args:
        matrix: rows are targets, columns surrogates, values mean fidelities.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    names = {"gin": "GIN", "gat": "GAT", "sage": "SAGE"}
    sns.heatmap(
        matrix.rename(index=names, columns=names), ax=axes, cmap="viridis", annot=True, fmt=".3f",
        annot_kws={"fontsize": 10}, cbar_kws={"label": "Fidelity (fraction)"},
    )  # fmt: skip
    axes.set(xlabel="Architecture of the surrogate", ylabel="Architecture of the target")
    return figure


def bars(summary: pd.DataFrame, names: Mapping[str, str], *, unit: str, rows: str) -> Figure:
    """Means with intervals as horizontal points, one row per name.

    Args:
        summary: columns name, centre, low, high.
        names: how a row is written, in the order from top to bottom.
        unit: what the horizontal axis shows.
        rows: what the rows are.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.6, 0.8 + 0.36 * len(names)), layout="constrained")
    found = summary.set_index("name")
    for place, name in enumerate(names):
        centre, low, high = found.loc[name, ["centre", "low", "high"]]
        axes.errorbar(
            centre, place, xerr=[[centre - low], [high - centre]], color="#0173b2", marker="o", capsize=4
        )
    axes.set_yticks(range(len(names)), list(names.values()))
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set(xlabel=unit, ylabel=rows)
    return figure


def defence(dial: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """What a defence takes from the thief against what it takes from the honest user.

    Args:
        dial: columns defence, strength, fidelity, honest, in the order of the dial; "none" is the open service.
        names: how a defence is written.

    Returns:
        One panel; the undefended service is a star.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.6, 3.9), layout="constrained")
    styles = method_styles(list(names))
    start = dial[dial["defence"] == "none"].iloc[0]
    sides = itertools.cycle([((-7, -4), "right"), ((7, -11), "left"), ((7, 3), "left")])
    for (kind, name), (offset, side) in zip(names.items(), sides, strict=False):
        rows = dial[dial["defence"] == kind]
        style = styles[kind]
        places = (np.r_[start["honest"], rows["honest"]], np.r_[start["fidelity"], rows["fidelity"]])
        axes.plot(*places, label=name, **_line(style))
        for word, x, y in zip(rows["strength"], rows["honest"], rows["fidelity"], strict=True):
            axes.annotate(
                word,
                (x, y),
                fontsize=9,
                xytext=offset,
                textcoords="offset points",
                color=style.color,
                ha=side,
            )
    axes.scatter(
        start["honest"], start["fidelity"], s=150, marker="*", color="0.1", zorder=4, label="no defence"
    )
    axes.set(xlabel="Accuracy of the honest customer (fraction)", ylabel="Fidelity of the thief (fraction)")
    axes.margins(0.12)
    axes.legend(loc="best", fontsize=9)
    return figure


def dial(lines: Mapping[str, pd.DataFrame], *, unit: str, value: str) -> Figure:
    """Quantities over the strength of a defence, with intervals.

    Args:
        lines: tables with columns sigma, centre, low, high, by name.
        unit: what the horizontal axis shows.
        value: what the vertical axis shows.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.2, 3.4), layout="constrained")
    styles = method_styles(list(lines))
    for name, rows in lines.items():
        columns = (rows[c].to_numpy() for c in ("sigma", "centre", "low", "high"))
        band(axes, *columns, label=name, style=styles[name])
    axes.set(xlabel=unit, ylabel=value)
    axes.legend(loc="best", fontsize=9)
    return figure
