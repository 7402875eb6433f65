"""Samples for the chapter's claims: one value per seed and statistic, and the controls beside them.

What each statistic is, and the rule that it is put through, stands in ``book/claims.yml``; nothing is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from trustlib.dppl.comparison import Comparison
from trustlib.dppl.comparison_plan import BASELINES, Method, Vectors
from trustlib.dppl.evidence_variants import Variants
from trustlib.dppl.metrics import group_accuracy

STRICT, TIGHTER, TIGHT = 0.005, 0.05, 0.5  # budgets that the rules name
GRADIENTS: tuple[Method, ...] = ("dp_sgd", "global_adapt")
MEANS: tuple[Method, ...] = ("coinpress", "naive")


@dataclass(frozen=True)
class Evidence:
    """Samples of one claim.

    Args:
        parts: samples by the name of the statistic.
        controls: samples by the name of the control.
    """

    parts: dict[str, Vectors]
    controls: dict[str, Vectors]


def utility(compared: Comparison, variants: Variants) -> Evidence:
    """Samples for dppl-1: lead of DPPL-Public over the best baseline, balanced accuracy, imbalanced classes."""
    parts, controls = {}, {}
    names = {"tighter": "permuted_labels_tighter", "tight": "permuted_labels"}
    for part, rho in (("tighter", TIGHTER), ("tight", TIGHT)):
        at = _imbalanced(compared, rho)
        best = _best(compared, BASELINES, "balanced", at)
        parts[part] = compared.balanced("public", **at) - best
        controls[names[part]] = variants.balanced("permuted", rho) - best
    return Evidence(parts, controls)


def rare_classes(compared: Comparison, variants: Variants) -> Evidence:
    """Samples for dppl-2: lead of DPPL-Public on the smallest quarter of the classes."""
    at, even = _imbalanced(compared, TIGHT), {"ratio": 1.0, "rho": TIGHT}
    public = compared.minority("public", **at)
    best = _best(compared, BASELINES, "minority", at)
    gap = {
        name: compared.minority("public", **where) - _best(compared, GRADIENTS, "minority", where)
        for name, where in (("gap", at), ("balanced", even))
    }
    permuted = _group(compared, variants.by_class("permuted", TIGHT), "minority")
    return Evidence(
        {"gap": gap["gap"], "lead": public - best},
        {"balanced": gap["balanced"], "permuted_labels": permuted - best},
    )


def frequent_classes(compared: Comparison, variants: Variants) -> Evidence:
    """Samples for dppl-3: what the largest quarter of the classes pays."""
    at = _imbalanced(compared, TIGHT)
    best = _best(compared, BASELINES, "majority", at)
    permuted = _group(compared, variants.by_class("permuted", TIGHT), "majority")
    return Evidence(
        {"majority": compared.majority("public", **at) - best}, {"permuted_labels": permuted - best}
    )


def against_means(compared: Comparison, variants: Variants) -> Evidence:
    """Samples for dppl-5: DPPL-Public against the better private mean, at a tight and at the loosest budget."""
    tight, loose = _imbalanced(compared, TIGHT), _imbalanced(compared, compared.plan.rhos[-1])
    means = {
        name: _best(compared, MEANS, "balanced", at) for name, at in (("tight", tight), ("loose", loose))
    }
    public = {name: compared.balanced("public", **at) for name, at in (("tight", tight), ("loose", loose))}
    permuted = np.max([variants.balanced(f"permuted {method}", loose["rho"]) for method in MEANS], axis=0)
    return Evidence(
        {"tight": public["tight"] - means["tight"], "loose": means["loose"] - public["loose"]},
        {
            "noise_pool": variants.balanced("pool noise", TIGHT) - means["tight"],
            "permuted_means": permuted - public["loose"],
        },
    )


def few_samples(compared: Comparison, variants: Variants) -> Evidence:
    """Samples for dppl-6: accuracy with ten private samples per class relative to all of them."""
    everything = compared.balanced("public", ratio=1.0, rho=TIGHT)
    ratio = {
        "ten_samples": variants.balanced("ten", TIGHT) / everything,
        "tenth_of_epsilon": variants.balanced("ten", STRICT) / everything,
        "permuted_labels": variants.balanced("ten permuted", TIGHT) / everything,
    }
    return Evidence({"ten_samples": ratio.pop("ten_samples")}, ratio)


def several_prototypes(compared: Comparison, variants: Variants) -> Evidence:
    """Samples for dppl-7: how the best number of prototypes follows the budget, and whether one is best when strict."""
    rhos = compared.plan.rhos
    trends = [_trend(variants.k_curve(blind=blind), variants.k_grid, rhos) for blind in (False, True)]
    curve = variants.k_curve()  # (seeds, K, rhos)
    one = curve[:, 0] - curve[:, 1:].max(axis=1)
    return Evidence(
        {"trend": trends[0], "one_is_best": one[:, compared.plan.at("rhos", STRICT)]},
        {"random_sets": trends[1], "loose_budget": one[:, -1]},
    )


def windows(compared: Comparison, variants: Variants) -> Evidence:
    """Samples for dppl-8: gain of a window of similarities fixed beforehand, at a strict budget."""
    plain = compared.balanced("public", **_imbalanced(compared, STRICT))
    return Evidence(
        {"strict": variants.balanced("window", STRICT) - plain},
        {"absurd_window": variants.balanced("absurd window", STRICT) - plain},
    )


def pooling(compared: Comparison, variants: Variants) -> Evidence:
    """Samples for dppl-9: gain of average pooling before the private mean, balanced classes."""
    loosest = compared.plan.rhos[-1]
    gain = {
        rho: variants.balanced("pooled mean", rho) - compared.balanced("coinpress", ratio=1.0, rho=rho)
        for rho in (TIGHTER, loosest)
    }
    return Evidence({"strict": gain[TIGHTER]}, {"loose_budget": gain[loosest]})


def amplification(compared: Comparison) -> Evidence:
    """Samples for dppl-10: slope of class accuracy on log class size, DP-SGD against no noise and against Public."""
    slopes = {}
    for name, at in (
        ("imbalanced", _imbalanced(compared, TIGHT)),
        ("balanced", {"ratio": 1.0, "rho": TIGHT}),
    ):
        private = compared.slope("dp_sgd", **at)
        slopes[name] = (
            private - compared.slope("noise_off", **at),
            private - compared.slope("public", **at),
        )
    return Evidence(
        dict(zip(("through_privacy", "against_public"), slopes["imbalanced"], strict=True)),
        dict(zip(("balanced", "balanced_public"), slopes["balanced"], strict=True)),
    )


def equal_treatment(compared: Comparison) -> Evidence:
    """Samples for dppl-11: slopes of both prototype methods, with that of private gradients as control."""
    at = _imbalanced(compared, TIGHT)
    slopes = {method: compared.slope(method, **at) for method in ("public", "coinpress", "dp_sgd")}
    return Evidence(
        {"public_slope": slopes["public"], "mean_slope": slopes["coinpress"]},
        {"dp_sgd": slopes["dp_sgd"], "dp_sgd_for_mean": slopes["dp_sgd"]},
    )


def _imbalanced(compared: Comparison, rho: float) -> dict[str, float]:
    """The largest ratio at a budget."""
    return {"ratio": compared.plan.ratios[-1], "rho": rho}


def _best(compared: Comparison, methods: tuple[Method, ...], statistic: str, at: dict[str, float]) -> Vectors:
    """The best of several methods in every seed, shape (seeds,)."""
    return np.max([getattr(compared, statistic)(method, **at) for method in methods], axis=0)


def _group(compared: Comparison, accuracy: Vectors, group: str) -> Vectors:
    """Accuracy of a quarter of the classes, (seeds, C) to (seeds,)."""
    pairs = zip(accuracy, compared.groups, strict=True)
    return np.array([group_accuracy(a, sizes, group=group) for a, sizes in pairs])  # type: ignore[arg-type]


def _trend(curve: Vectors, k_grid: tuple[int, ...], rhos: tuple[float, ...]) -> Vectors:
    """Rank correlation of the best K with the budget, (seeds, K, rhos) to (seeds,); 0 where K never changes."""
    best = np.array(k_grid)[curve.argmax(axis=1)]
    return np.array([0.0 if len(set(row)) == 1 else stats.spearmanr(rhos, row).statistic for row in best])
