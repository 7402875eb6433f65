"""The chapter's figures: each function takes results and returns a figure; nothing is estimated here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from trustlib.dppl.comparison import Comparison
from trustlib.dppl.comparison_plan import BASELINES, LABELS, METHODS, Method, Vectors
from trustlib.dppl.evidence_variants import Variants
from trustlib.plotting import band, method_styles, reference_line, small_multiples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

ORDER = (*METHODS, "linear_probe")
Statistic = Literal["balanced", "minority", "majority"]
GROUP_NAMES = {
    "balanced": "Balanced accuracy",
    "minority": "Accuracy on the rarest quarter",
    "majority": "Accuracy on the most frequent quarter",
}
_GAP = 4  # pixels around an image
_LIMIT: dict[str, Any] = {"color": "0.25", "linestyle": (0, (4, 3)), "linewidth": 1.2}  # of what needs no privacy


def by_size(compared: Comparison, methods: Sequence[Method], *, ratio: float, rho: float) -> Figure:
    """Accuracy of fifths of the classes, the rarest first, against their private rows.

    Args:
        compared: the comparison.
        methods: which.
        ratio: imbalance ratio.
        rho: budget.

    Returns:
        One panel, the size on a logarithmic axis.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.6), layout="constrained")
    styles, order = method_styles(ORDER), np.argsort(compared.groups, axis=1, kind="stable")
    sizes = np.sort(compared.sizes[compared.plan.at("ratios", ratio)][0])
    fifths = np.array_split(np.arange(len(sizes)), min(5, len(sizes)))
    middles = [np.exp(np.log(sizes[places]).mean()) for places in fifths]
    for method in methods:
        accuracy = np.take_along_axis(compared.by_class(method, ratio=ratio, rho=rho), order, axis=1)
        means = np.stack([accuracy[:, places].mean(axis=1) for places in fifths], axis=1)
        band(axes, middles, *_t_interval(means), label=LABELS[method], style=styles[method])
    reference_line(axes, 1 / accuracy.shape[1], "chance")
    axes.set(
        xscale="log", xlabel="Private rows of a class (log scale)", ylabel="Accuracy on a fifth of classes"
    )
    axes.set_xticks(middles, [f"{middle:.0f}" for middle in middles])
    axes.set_xticks([], minor=True)
    axes.set_ylim(-0.03, 1.03)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(methods), fontsize=9)
    return figure


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
    reference_line(left, chance, "drawn blindly")
    reference_line(right, chance, "drawn blindly")
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
    titles = ["Balanced" if r == 1 else f"Largest {r:g} times the smallest" for r in shown]
    figure, panels = small_multiples(titles, columns=len(shown), height=3.5)
    styles = method_styles(ORDER)
    for axes, ratio in zip(panels, shown, strict=True):
        for method in [m for m in METHODS if m in compared.methods]:
            at = [getattr(compared, statistic)(method, ratio=ratio, rho=rho) for rho in compared.plan.rhos]
            centre = _t_interval(np.stack(at, axis=1))
            band(axes, compared.plan.rhos, *centre, label=LABELS[method], style=styles[method])
        limit = getattr(compared, statistic)("linear_probe", ratio=ratio, rho=compared.plan.rhos[-1])
        axes.axhline(float(limit.mean()), **_LIMIT, label=LABELS["linear_probe"])
        axes.set(xscale="log", xlabel="Budget ρ (log scale)")
    panels[0].set(ylabel=GROUP_NAMES[statistic], ylim=(-0.03, 1.03))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def by_class(compared: Comparison, methods: Sequence[Method], *, ratio: float, rho: float) -> Figure:
    """Accuracy of every class, the classes in the order of their size, for a slider.

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
    top.set(ylim=(-0.03, 1.03), ylabel="Accuracy")
    bottom.xaxis.get_major_locator().set_params(integer=True)
    bottom.set(yscale="log", ylim=(1, compared.plan.largest * 1.5))
    bottom.set(xlabel="Class, from the most frequent to the rarest", ylabel="Private rows")
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
        sns.heatmap(100 * gaps, ax=axes, annot=True, fmt="+.0f", annot_kws={"fontsize": 9}, **labels, **scale)
        axes.set(xlabel="Budget ρ")
        axes.tick_params(labelsize=9)
    panels[0].set(ylabel="Imbalance ratio")
    return figure


def pools(compared: Comparison, variants: Variants) -> Figure:
    """DPPL-Public over the budget with different public pools, imbalanced classes.

    Args:
        compared: for the best baseline, which needs no pool.
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


def combinations(gaps: pd.DataFrame) -> Figure:
    """Minority accuracies of public prototypes and of private gradients in every combination.

    Args:
        gaps: result of `combination_gaps`.

    Returns:
        One panel, a pair of points per combination.
    """
    import matplotlib.pyplot as plt

    means = gaps.groupby("combination", sort=False)[["public", "gradients", "permuted"]].mean()
    figure, axes = plt.subplots(figsize=(6.8, 1.4 + 0.35 * len(means)), layout="constrained")
    styles = method_styles(ORDER)
    place = np.arange(len(means))
    axes.hlines(place, means["gradients"], means["public"], color="0.7", linewidth=2, zorder=1)
    for column, label, style in (
        ("public", "DPPL-Public", styles["public"].points()),
        ("gradients", "better of DP-SGD and Global-Adapt", styles["dp_sgd"].points()),
        ("permuted", "DPPL-Public, labels permuted", {"color": "0.3", "marker": "|"}),
    ):
        axes.scatter(means[column], place, s=50, label=label, zorder=2, **style)
    axes.set_yticks(place, list(means.index))
    axes.set(xlabel="Accuracy on the rarest quarter", ylabel="Data set, encoder", xlim=(-0.03, 1.0))
    axes.set_ylim(len(means) - 0.5, -0.5)
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


def _few_colors(sheet: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same image in at most 64 colours, which keeps a page with many of them small."""
    from PIL import Image

    return np.asarray(Image.fromarray(sheet).quantize(64, dither=Image.Dither.NONE).convert("RGB"))


def _t_interval(values: Vectors) -> tuple[Vectors, Vectors, Vectors]:
    """Mean of accuracies over the first axis with its 95 % t interval, cut to [0, 1]."""
    n, centre = len(values), values.mean(axis=0)
    if n < 2:
        return centre, centre, centre
    half = stats.t.ppf(0.975, n - 1) * values.std(axis=0, ddof=1) / np.sqrt(n)
    return centre, np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
