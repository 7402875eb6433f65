"""The chapter's figures: each function takes results and returns a figure; nothing is estimated here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import stats

from trustlib.dppl.comparison import Comparison
from trustlib.dppl.comparison_plan import BASELINES, LABELS, METHODS, Method, Vectors
from trustlib.dppl.evidence_variants import Variants
from trustlib.dppl.figures_selection import hits, losses, prototype_board
from trustlib.plotting import band, method_styles, reference_line, small_multiples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = [
    "by_budget",  # accuracy over the budget
    "by_class",  # of every class
    "by_size",  # over the private rows of a class
    "combinations",  # encoders and data sets
    "difference_map",  # gain and loss against the best baseline
    "hits",  # how often a chosen image fits
    "losses",  # of exact audits
    "pools",  # other public pools
    "prototype_board",  # chosen images
    "several",  # more than one prototype
]

ORDER = (*METHODS, "linear_probe", "noise_off")
Statistic = Literal["balanced", "minority", "majority"]
GROUP_NAMES = {
    "balanced": "Balanced accuracy",
    "minority": "Accuracy on the rarest quarter",
    "majority": "Accuracy on the most frequent quarter",
}
_LIMIT: dict[str, Any] = {
    "color": "0.25",
    "linestyle": (0, (4, 3)),
    "linewidth": 1.2,
}  # of what needs no privacy
_CHANCE: dict[str, Any] = {"color": "0.45", "linestyle": (0, (1, 2)), "linewidth": 1.4}


def by_size(compared: Comparison, methods: Sequence[Method], *, ratio: float, rho: float) -> Figure:
    """Accuracy of fifths of the classes, the rarest first, against their private rows.

    Args:
        compared: the comparison.
        methods: which.
        ratio: imbalance ratio.
        rho: budget.

    Returns:
        One panel, the size on a logarithmic axis; the methods stand side by side around the geometric mean of a fifth.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
    styles, order = method_styles(ORDER), np.argsort(compared.groups, axis=1, kind="stable")
    sizes = np.sort(compared.sizes[compared.plan.at("ratios", ratio)][0])
    fifths = np.array_split(np.arange(len(sizes)), min(5, len(sizes)))
    middles = [np.exp(np.log(sizes[places]).mean()) for places in fifths]
    beside = np.exp(0.04 * (np.arange(len(methods)) - (len(methods) - 1) / 2))
    for method, shift in zip(methods, beside, strict=True):
        accuracy = np.take_along_axis(compared.by_class(method, ratio=ratio, rho=rho), order, axis=1)
        means = np.stack([accuracy[:, places].mean(axis=1) for places in fifths], axis=1)
        centre, low, high = _t_interval(means)
        look: dict[str, Any] = {**styles[method].line(), "capsize": 3, "elinewidth": 1.3}
        edges = np.stack([centre - low, high - centre])
        axes.errorbar(np.multiply(middles, shift), centre, yerr=edges, label=LABELS[method], **look)
    reference_line(axes, 1 / accuracy.shape[1], "chance")
    axes.set(
        xscale="log", xlabel="Private rows of a class (log scale)", ylabel="Accuracy on a fifth of classes"
    )
    axes.set_xticks(middles, [f"{middle:.0f}" for middle in middles])
    axes.set_xticks([], minor=True)
    axes.set_ylim(-0.03, 1.03)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def by_budget(compared: Comparison, statistic: Statistic, *, ratios: Sequence[float] | None = None) -> Figure:
    """Accuracy over the budget, one panel per imbalance ratio.

    Args:
        compared: the comparison.
        statistic: "balanced", "minority" or "majority".
        ratios: which; None for all.

    Returns:
        Panels on common axes.
    """
    shown = compared.plan.ratios if ratios is None else tuple(ratios)
    titles = ["All classes equal" if r == 1 else f"Imbalance ratio {r:g}" for r in shown]
    figure, panels = small_multiples(titles, columns=len(shown), height=3.5)
    styles = method_styles(ORDER)
    for axes, ratio in zip(panels, shown, strict=True):
        for method in [m for m in METHODS if m in compared.methods]:
            at = [getattr(compared, statistic)(method, ratio=ratio, rho=rho) for rho in compared.plan.rhos]
            centre = _t_interval(np.stack(at, axis=1))
            band(axes, compared.plan.rhos, *centre, label=LABELS[method], style=styles[method])
        limit = getattr(compared, statistic)("linear_probe", ratio=ratio, rho=compared.plan.rhos[-1])
        axes.axhline(float(limit.mean()), **_LIMIT, label=LABELS["linear_probe"])
        axes.axhline(1 / compared.accuracy.shape[-1], **_CHANCE, label="Chance")
        axes.set(xscale="log", xlabel="Budget ρ (log scale)")
    panels[0].set(ylabel=GROUP_NAMES[statistic], ylim=(-0.03, 1.03))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def by_class(compared: Comparison, methods: Sequence[Method], *, ratio: float, rho: float) -> Figure:
    """Accuracy by rank of class size, averaged over seeds that draw anew which class has which rank, for a slider.

    Args:
        compared: the comparison.
        methods: which.
        ratio: imbalance ratio.
        rho: budget.

    Returns:
        Two panels with fixed limits: accuracies above, sizes below.
    """
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(6.8, 4.0), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    order = np.argsort(-compared.groups, axis=1, kind="stable")
    place = np.arange(order.shape[1])
    styles = method_styles(ORDER)
    for method in methods:
        accuracy = np.take_along_axis(compared.by_class(method, ratio=ratio, rho=rho), order, axis=1).mean(
            axis=0
        )
        top.plot(place + 1, accuracy, label=LABELS[method], **styles[method].line())
    sizes = -np.sort(-compared.sizes[compared.plan.at("ratios", ratio)][0])
    bottom.bar(place + 1, sizes, color="0.6")
    top.set(xlim=(0.5, len(place) + 0.5), ylim=(-0.03, 1.03), ylabel="Accuracy")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    bottom.set(yscale="log", ylim=(1, compared.plan.largest * 1.5))
    bottom.set(xlabel="Rank of a class, the most frequent first", ylabel="Private rows")
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def difference_map(compared: Comparison) -> Figure:
    """DPPL-Public minus the best baseline, over budgets and imbalance ratios.

    Args:
        compared: the comparison.

    Returns:
        Three heat maps on one colour scale around zero: all classes, the rarest and the largest quarter.
    """
    import seaborn as sns

    plan = compared.plan
    titles = ["All classes", "Rarest quarter", "Most frequent quarter"]
    figure, panels = small_multiples(titles, columns=3, height=2.4)
    for axes, statistic in zip(panels, GROUP_NAMES, strict=True):
        read = getattr(compared, statistic)
        gaps = np.empty((len(plan.ratios), len(plan.rhos)))
        for i, j in np.ndindex(*gaps.shape):
            at = {"ratio": plan.ratios[i], "rho": plan.rhos[j]}
            gaps[i, j] = (read("public", **at) - np.max([read(m, **at) for m in BASELINES], axis=0)).mean()
        labels = {
            "xticklabels": [f"{x:g}" for x in plan.rhos],
            "yticklabels": [f"{x:g}" for x in plan.ratios],
        }
        scale = {"vmin": -40, "vmax": 40, "cmap": "PuOr", "cbar": False}
        points = [[_signed(100 * gap) for gap in row] for row in gaps]
        sns.heatmap(100 * gaps, ax=axes, annot=points, fmt="", annot_kws={"fontsize": 9}, **labels, **scale)
        axes.set(xlabel="Budget ρ")
        axes.tick_params(labelsize=9)
        axes.tick_params(axis="y", rotation=0)
    panels[0].set(ylabel="Imbalance ratio")
    return figure


def pools(compared: Comparison, variants: Variants) -> Figure:
    """DPPL-Public over the budget with different public pools, imbalanced classes.

    Args:
        compared: for the best baseline, which takes no prototypes from a pool.
        variants: accuracies by pool.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.4), layout="constrained")
    names = [name for name in variants.accuracy if name.startswith("pool ")]
    plan, styles = compared.plan, method_styles([*names, "baseline"])
    for name in names:
        label = "pool: " + name.removeprefix("pool ").replace("_", " ")
        balanced = variants.accuracy[name].mean(axis=2)
        band(axes, plan.rhos, *_t_interval(balanced), label=label, style=styles[name])
    ratio = plan.ratios[-1]
    best = [
        np.max([compared.balanced(m, ratio=ratio, rho=rho) for m in BASELINES], axis=0) for rho in plan.rhos
    ]
    band(
        axes, plan.rhos, *_t_interval(np.stack(best, axis=1)), label="best baseline", style=styles["baseline"]
    )
    reference_line(axes, 1 / compared.accuracy.shape[-1], "chance")
    axes.set(xscale="log", xlabel="Budget ρ (log scale)", ylabel="Balanced accuracy", ylim=(-0.02, None))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return figure


def several(variants: Variants) -> Figure:
    """Balanced accuracy over the number of prototypes, one line per budget, with sets drawn blindly as control.

    Args:
        variants: accuracies by number of prototypes.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, axes = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
    colors = sns.color_palette("viridis", len(variants.plan.rhos) + 1)
    curve, blind = variants.k_curve(), variants.k_curve(blind=True)
    for j, rho in enumerate(variants.plan.rhos):
        centre, low, high = _t_interval(curve[:, :, j])
        axes.plot(variants.k_grid, centre, color=colors[j], marker="os^DvP*X"[j % 8], label=f"ρ = {rho:g}")
        axes.fill_between(variants.k_grid, low, high, color=colors[j], alpha=0.15)
    control = blind.mean(axis=(0, 2))
    axes.plot(variants.k_grid, control, color="0.3", linestyle=(0, (2, 2)), label="drawn blindly")
    axes.set(xlabel="Prototypes per class K", ylabel="Balanced accuracy", xticks=variants.k_grid)
    axes.set_ylim(0, None)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return figure


def combinations(gaps: pd.DataFrame) -> Figure:
    """Minority accuracies of public prototypes and of private gradients in every combination.

    Args:
        gaps: result of `combination_gaps`.

    Returns:
        One panel, a pair of points per combination.
    """
    import matplotlib.pyplot as plt

    means = gaps.groupby("combination", sort=False)[["public", "gradients", "permuted", "chance"]].mean()
    figure, axes = plt.subplots(figsize=(6.8, 1.4 + 0.35 * len(means)), layout="constrained")
    styles = method_styles(ORDER)
    place = np.arange(len(means))
    axes.hlines(place, means["gradients"], means["public"], color="0.7", linewidth=2, zorder=1)
    for column, label, style in (
        ("public", "DPPL-Public", styles["public"].points()),
        ("gradients", "better of DP-SGD and Global-Adapt", styles["dp_sgd"].points()),
        ("permuted", "DPPL-Public, labels permuted", {"color": "0.3", "marker": "x"}),
        ("chance", "chance", {"color": "0.3", "marker": "|"}),
    ):
        axes.scatter(means[column], place, s=50, label=label, zorder=2, **style)
    axes.set_yticks(place, list(means.index))
    axes.set(xlabel="Accuracy on the rarest quarter", ylabel="Data set, encoder", xlim=(-0.03, 1.0))
    axes.set_ylim(len(means) - 0.5, -0.5)
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _signed(points: float) -> str:
    """A whole number with its sign, the minus a real one, zero without any."""
    return f"{points:+.0f}".replace("-", "−") if round(points) else "0"


def _t_interval(values: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Mean of accuracies over the first axis with its 95 % t interval, cut to [0, 1]."""
    n, centre = len(values), values.mean(axis=0)
    if n < 2:
        return centre, centre, centre
    half = stats.t.ppf(0.975, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return centre, np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
