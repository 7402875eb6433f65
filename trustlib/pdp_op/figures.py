"""The chapter's figures: each function takes results and returns a figure; nothing is estimated here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trustlib.pdp_op.comparison import LABELS
from trustlib.pdp_op.preferences import Preferences
from trustlib.plotting import band, method_styles, reference_line, small_multiples

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Vector = NDArray[np.float64]
ORDER = ("pdp_op", "sample_max", "sample_mean", "uniform_min", "nonprivate", "repaired_max", "repaired_mean")


def comparison(summary: pd.DataFrame, nulls: pd.DataFrame) -> Figure:
    """Expected test loss against lambda for all methods, with the constant predictions as dashed lines.

    Args:
        summary: result of `summarise` of a comparison.
        nulls: result of `summarise` of the null losses.

    Returns:
        One panel, both axes logarithmic.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 4.0), layout="constrained")
    styles = method_styles(ORDER)
    for method in [m for m in ORDER if m in set(summary["method"])]:
        rows = summary[summary["method"] == method]
        columns = (rows[c].to_numpy() for c in ("lam", "centre", "low", "high"))
        band(axes, *columns, label=LABELS[method], style=styles[method])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="Regularisation λ (log scale)",
        ylabel="Test loss (squared target units)",
    )
    for method in ("private_mean",):
        value = float(nulls.loc[nulls["method"] == method, "centre"].iloc[0])
        reference_line(axes, value, LABELS[method].lower(), side="left")
    axes.legend(loc="upper right")
    return figure


def mechanism(epsilon: Vector, rates: dict[str, float], dim: int) -> Figure:
    """Levels, weights and the length of the noise: the three steps of the mechanism.

    Args:
        epsilon: levels of the people, shape (n,).
        rates: noise rate eta by method.
        dim: number of coefficients.

    Returns:
        Three panels.
    """
    import matplotlib.pyplot as plt
    from scipy import stats

    figure, (first, second, third) = plt.subplots(1, 3, figsize=(7.0, 2.7), layout="constrained")
    first.hist(epsilon, bins=25, color="0.6")
    first.set(xlabel="Privacy level ε", ylabel="People", title="1. What people ask for")
    order = np.argsort(epsilon)
    second.plot(epsilon[order], epsilon[order] / epsilon.mean(), color="0.2")
    second.axhline(1.0, color="0.4", linestyle=(0, (4, 3)))
    second.annotate("uniform", (0.0, 1.0), fontsize=9, va="bottom", color="0.25")
    second.set(xlabel="Privacy level ε", ylabel="Weight, times n", title="2. What they weigh")
    styles = method_styles(ORDER)
    for method, rate in rates.items():
        law = stats.gamma(dim, scale=1 / rate)
        x = np.geomspace(law.ppf(0.001), law.ppf(0.999), 200)
        line = {"color": styles[method].color, "linestyle": styles[method].line()["linestyle"]}
        third.plot(x, law.pdf(x) * x, label=LABELS[method], **line)
    third.set(
        xscale="log",
        xlabel="Noise length ‖b‖ (log scale)",
        ylabel="Density per e-fold",
        title="3. The noise for all",
    )
    third.set_ylim(0, third.get_ylim()[1] * 1.75)
    third.legend(loc="upper left", fontsize=9)
    return figure


def population(preferences: Preferences, n: int, ratios: dict[str, float]) -> Figure:
    """A population's levels beside the noise that the baselines pay relative to PDP-OP.

    Args:
        preferences: the population.
        n: number of people.
        ratios: excess loss through noise relative to PDP-OP, by method.

    Returns:
        Two panels with fixed limits, for a slider.
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.6), layout="constrained")
    levels = preferences.draw(n, rng=np.random.default_rng(0))
    left.hist(levels, bins=np.linspace(0, preferences.epsilon_liberal, 26), color="0.6")
    left.set(xlim=(0, preferences.epsilon_liberal * 1.02), ylim=(0, 0.75 * n))
    left.set(xlabel="Privacy level ε", ylabel=f"People (of {n})", title="Who asks for what")
    styles = method_styles(ORDER)
    for place, (method, ratio) in enumerate(ratios.items()):
        right.barh(place, ratio, left=0, color=styles[method].color)
        right.annotate(
            f"{ratio:,.3g}×" if ratio < 100 else f"{ratio:,.0f}×",
            (max(ratio, 1), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    right.set_yticks(range(len(ratios)), [LABELS[m] for m in ratios])
    right.axvline(1.0, color="0.25", linestyle=(0, (4, 3)))
    right.set(xscale="log", xlim=(0.7, 1e6), xlabel="Noise relative to PDP-OP (log scale)", ylabel="Baseline")
    right.set_title("What the baselines pay")
    right.invert_yaxis()
    return figure


def tradeoff(
    curve: pd.DataFrame, lam: float, cloud: Vector, minimiser: Vector, limits: tuple[float, float]
) -> Figure:
    """Loss without noise and through noise over lambda, and releases of two coefficients at one lambda.

    Args:
        curve: columns lam, quiet (loss of the minimiser), noise (added by the mechanism).
        lam: the lambda that is marked.
        cloud: releases of the two coefficients at that lambda, shape (m, 2).
        minimiser: the two coefficients without noise, shape (2,).
        limits: of both coefficient axes.

    Returns:
        Two panels with fixed limits, for a slider.
    """
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(7.0, 2.9), layout="constrained")
    left.plot(curve["lam"], curve["quiet"] + curve["noise"], color="0.1", label="total", linewidth=2)
    left.plot(
        curve["lam"], curve["quiet"], color="#0173b2", linestyle=(0, (5, 2)), label="without noise (bias)"
    )
    left.plot(curve["lam"], curve["noise"], color="#d55e00", linestyle=(0, (2, 2)), label="through noise")
    left.axvline(lam, color="0.4", linewidth=5, alpha=0.3)
    left.set(xscale="log", yscale="log", ylim=(1e-4, 1e3), xlabel="Regularisation λ (log scale)")
    left.set(ylabel="Test loss", title="Where the loss comes from")
    left.legend(loc="upper right", fontsize=9)
    right.scatter(cloud[:, 0], cloud[:, 1], s=6, color="#d55e00", alpha=0.5, label="releases")
    right.scatter(*minimiser, s=60, marker="X", color="0.1", label="without noise", zorder=3)
    right.set(xlim=limits, ylim=limits, xlabel="Coefficient of the first feature")
    right.set(ylabel="Coefficient of the second", title=f"Releases at λ = {lam:g}")
    right.legend(loc="upper right", fontsize=9)
    return figure


def people(report: pd.DataFrame) -> Figure:
    """What the proof allows against what happened, for every person.

    Args:
        report: result of `personal_report`.

    Returns:
        One panel, both axes logarithmic.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    ends = [report["epsilon"].min() * 0.9, report["epsilon"].max() * 1.1]
    axes.plot(ends, ends, color="0.2", label="worst case that the proof allows")
    axes.scatter(
        report["epsilon"], report["realised"], s=8, alpha=0.5, color="#0173b2", label="on this table"
    )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="Own privacy level ε (log scale)",
        ylabel="Privacy loss (nats, log scale)",
    )
    axes.legend(loc="lower right")
    return figure


def simulation(errors: pd.DataFrame) -> Figure:
    """Relative error of simulated losses against the number of simulated releases.

    Args:
        errors: result of `simulation_error`.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.6, 3.2), layout="constrained")
    axes.scatter(
        errors["releases"], 100 * errors["error"], s=14, alpha=0.6, color="#0173b2", label="one simulation"
    )
    axes.axhline(0, color="0.2", label="exact expectation")
    axes.set(xscale="log", xlabel="Simulated releases (log scale)", ylabel="Error of the mean loss (%)")
    axes.legend(loc="upper right")
    return figure


def useful(best: pd.DataFrame, nulls: pd.DataFrame) -> Figure:
    """Best loss of every method under both bounds beside the constant predictions.

    Args:
        best: columns bounds, method, centre, low, high.
        nulls: result of `summarise` of the null losses.

    Returns:
        Two panels, one per kind of bounds, with a common logarithmic axis.
    """
    kinds = list(dict.fromkeys(best["bounds"]))
    figure, panels = small_multiples(kinds, columns=2, height=2.6)
    styles = method_styles(ORDER)
    for panel, kind in zip(panels, kinds, strict=True):
        rows = best[best["bounds"] == kind].set_index("method")
        shown = [m for m in ORDER if m in rows.index]
        for place, method in enumerate(shown):
            centre, low, high = rows.loc[method, ["centre", "low", "high"]]
            style = styles[method]
            error = [[centre - low], [high - centre]]
            panel.errorbar(centre, place, xerr=error, color=style.color, marker=style.marker, capsize=3)
        panel.set_yticks(range(len(shown)), [LABELS[m] for m in shown])
        for word, shade in (("private_mean", "0.1"), ("zero", "0.55")):
            value = float(nulls.loc[nulls["method"] == word, "centre"].iloc[0])
            panel.axvline(value, color=shade, linestyle=(0, (4, 3)), label=LABELS[word])
        panel.set(xscale="log", xlabel="Best test loss over λ (log scale)")
        panel.set_ylim(len(shown) - 0.5, -0.5)
    panels[0].set_ylabel("Method")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def gain_heatmap(gains: Vector, shares: tuple[float, ...], lambdas: tuple[float, ...]) -> Figure:
    """Gain over sampling at the largest level, over the share of conservative people and lambda.

    Args:
        gains: mean gain, shape (shares, lambdas).
        shares: of conservative people.
        lambdas: the grid.

    Returns:
        One panel.
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    figure, axes = plt.subplots(figsize=(7.0, 3.0), layout="constrained")
    sns.heatmap(
        gains, ax=axes, cmap="viridis", annot=True, fmt=".2f", annot_kws={"fontsize": 9}, vmin=1.0,
        xticklabels=[f"{x:g}" for x in lambdas], yticklabels=[f"{x:g}" for x in shares],
        cbar_kws={"label": "Loss of sampling / loss of PDP-OP"},
    )  # fmt: skip
    axes.set(xlabel="Regularisation λ", ylabel="Share of conservative people")
    return figure


def losses_by_fault(ratios: dict[str, Vector]) -> Figure:
    """Exact worst losses of all small settings, for the mechanism and for mechanisms with a planted fault.

    Args:
        ratios: largest loss over level, one value per setting, by the name of the mechanism.

    Returns:
        One panel with the line at 1 that the guarantee draws.
    """
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.8, 3.2), layout="constrained")
    for place, values in enumerate(ratios.values()):
        spread = place + np.linspace(-0.18, 0.18, len(values))
        colour, marker = ("#0173b2", "o") if place == 0 else ("#d55e00", "X")
        axes.scatter(values, spread, s=22, marker=marker, color=colour, alpha=0.7)
        axes.scatter(values.max(), place, s=70, marker="|", color="0.1", zorder=3)
    axes.set_yticks(range(len(ratios)), list(ratios))
    axes.axvline(1.0, color="0.2", linestyle=(0, (4, 3)))
    axes.annotate(
        "guarantee", (1.0, -0.45), fontsize=9, ha="right", xytext=(-3, 0), textcoords="offset points"
    )
    axes.set(xscale="log", xlabel="Largest privacy loss / own level ε (log scale)", ylabel="Mechanism")
    axes.invert_yaxis()
    return figure
