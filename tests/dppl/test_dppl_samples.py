"""Samples of the claims by value: recomputed from a comparison whose accuracies are known numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trustlib.dppl import evidence
from trustlib.dppl.comparison import Comparison
from trustlib.dppl.comparison_plan import METHODS, REFERENCES, Plan
from trustlib.dppl.evidence_combinations import combinations
from trustlib.dppl.evidence_variants import Variants

RHOS, RATIOS, SEEDS, CLASSES = (0.005, 0.05, 0.5, 50.0), (1.0, 10.0), 3, 4
PLAN = Plan(rhos=RHOS, ratios=RATIOS, largest=40, n_seeds=SEEDS, seed=0)
GRID = (1, 3)
CONDITIONS = (
    "permuted", "permuted coinpress", "permuted naive", "pool noise", "window", "absurd window", "ten", "ten permuted",
    "pooled mean",
    *(f"{word} {k}" for word in ("top", "blind") for k in GRID),
)  # fmt: skip


@pytest.fixture
def compared():
    """Different random accuracies everywhere; class 3 is the rarest, class 0 the most frequent."""
    methods = (*METHODS, *REFERENCES)
    shape = (len(methods), len(RATIOS), len(RHOS), SEEDS, CLASSES)
    accuracy = np.random.default_rng(0).random(shape)
    uneven = np.tile([40, 19, 9, 4], (SEEDS, 1))
    sizes = np.stack([np.full_like(uneven, 40), uneven])
    return Comparison(PLAN, methods, accuracy, sizes, uneven)


@pytest.fixture
def variants():
    rng = np.random.default_rng(1)
    shape = (SEEDS, len(RHOS), CLASSES)
    return Variants(PLAN, GRID, {name: rng.random(shape) for name in CONDITIONS})


def cell(compared, method, ratio, rho):
    """Accuracies (seeds, C), read from the array by position."""
    place = compared.methods.index(method), RATIOS.index(ratio), RHOS.index(rho)
    return compared.accuracy[place]


def test_the_lead_is_over_the_best_baseline_of_each_seed(compared, variants):
    baselines = ("naive", "least_squares", "global_adapt", "dp_sgd")
    for part, rho in (("tighter", 0.05), ("tight", 0.5)):
        best = np.max([cell(compared, m, 10.0, rho).mean(axis=1) for m in baselines], axis=0)
        lead = cell(compared, "public", 10.0, rho).mean(axis=1) - best
        assert evidence.utility(compared, variants).parts[part] == pytest.approx(lead)
    found = evidence.rare_classes(compared, variants)
    rare = {m: cell(compared, m, 10.0, 0.5)[:, 3] for m in ("public", *baselines)}  # a quarter of 4: class 3
    gap = rare["public"] - np.maximum(rare["dp_sgd"], rare["global_adapt"])
    assert found.parts["gap"] == pytest.approx(gap)
    assert found.parts["lead"] == pytest.approx(rare["public"] - np.max([rare[m] for m in baselines], axis=0))
    frequent = {m: cell(compared, m, 10.0, 0.5)[:, 0] for m in ("public", *baselines)}
    best = np.max([frequent[m] for m in baselines], axis=0)
    assert evidence.frequent_classes(compared, variants).parts["majority"] == pytest.approx(
        frequent["public"] - best
    )


def test_the_balanced_control_looks_at_the_same_classes(compared, variants):
    even = {m: cell(compared, m, 1.0, 0.5)[:, 3] for m in ("public", "dp_sgd", "global_adapt")}
    expected = even["public"] - np.maximum(even["dp_sgd"], even["global_adapt"])
    assert evidence.rare_classes(compared, variants).controls["balanced"] == pytest.approx(expected)


def test_means_compete_with_the_better_one_of_each_seed_and_of_permuted_labels(compared, variants):
    found = evidence.against_means(compared, variants)
    for part, rho, sign in (("tight", 0.5, 1), ("loose", 50.0, -1)):
        means = [cell(compared, m, 10.0, rho).mean(axis=1) for m in ("coinpress", "naive")]
        lead = cell(compared, "public", 10.0, rho).mean(axis=1) - np.max(means, axis=0)
        assert found.parts[part] == pytest.approx(sign * lead)
    permuted = [variants.accuracy[f"permuted {m}"][:, 3].mean(axis=1) for m in ("coinpress", "naive")]
    public = cell(compared, "public", 10.0, 50.0).mean(axis=1)
    assert found.controls["permuted_means"] == pytest.approx(np.max(permuted, axis=0) - public)


def test_few_samples_are_measured_against_all_at_the_same_budget(compared, variants):
    everything = cell(compared, "public", 1.0, 0.5).mean(axis=1)
    found = evidence.few_samples(compared, variants)
    assert found.parts["ten_samples"] == pytest.approx(
        variants.accuracy["ten"][:, 2].mean(axis=1) / everything
    )
    assert found.controls["tenth_of_epsilon"] == pytest.approx(
        variants.accuracy["ten"][:, 0].mean(axis=1) / everything
    )


def test_the_trend_of_the_best_k_is_a_rank_correlation(variants, compared):
    accuracy = dict(variants.accuracy)
    shape = (SEEDS, len(RHOS), CLASSES)
    accuracy["top 1"] = np.full(shape, 0.5)
    # K = 3 better only at the two looser budgets: ranks of K 1.5, 1.5, 3.5, 3.5 against 1, 2, 3, 4
    three = np.array([0.4, 0.4, 0.6, 0.6])
    accuracy["top 3"] = np.broadcast_to(three[None, :, None], shape)
    accuracy["blind 1"], accuracy["blind 3"] = np.full(shape, 0.5), np.full(shape, 0.4)
    found = evidence.several_prototypes(compared, replace(variants, accuracy=accuracy))
    # covariance 4 over sqrt(5 * 4)
    assert found.parts["trend"] == pytest.approx(np.full(SEEDS, 4 / 20**0.5))
    assert found.parts["one_is_best"] == pytest.approx(np.full(SEEDS, 0.1))
    assert found.controls["random_sets"] == pytest.approx(np.zeros(SEEDS))  # never changes
    assert found.controls["loose_budget"] == pytest.approx(np.full(SEEDS, -0.1))


def test_windows_and_pooling_are_differences_at_their_budgets(compared, variants):
    plain = cell(compared, "public", 10.0, 0.005).mean(axis=1)
    found = evidence.windows(compared, variants)
    assert found.parts["strict"] == pytest.approx(variants.accuracy["window"][:, 0].mean(axis=1) - plain)
    found = evidence.pooling(compared, variants)
    for samples, j in ((found.parts["strict"], 1), (found.controls["loose_budget"], 3)):
        mean = cell(compared, "coinpress", 1.0, RHOS[j]).mean(axis=1)
        assert samples == pytest.approx(variants.accuracy["pooled mean"][:, j].mean(axis=1) - mean)


def test_slopes_are_on_the_logarithm_of_the_sizes(compared):
    x = np.log([40, 19, 9, 4])

    def slopes(method, ratio):
        return np.array([np.polyfit(x, row, 1)[0] for row in cell(compared, method, ratio, 0.5)])

    found = evidence.amplification(compared)
    assert found.parts["through_privacy"] == pytest.approx(slopes("dp_sgd", 10.0) - slopes("noise_off", 10.0))
    assert found.controls["balanced"] == pytest.approx(slopes("dp_sgd", 1.0) - slopes("noise_off", 1.0))
    assert found.controls["balanced_public"] == pytest.approx(slopes("dp_sgd", 1.0) - slopes("public", 1.0))
    found = evidence.equal_treatment(compared)
    assert found.parts["mean_slope"] == pytest.approx(slopes("coinpress", 10.0))
    assert found.controls["dp_sgd"] == pytest.approx(slopes("dp_sgd", 10.0))


def test_combinations_average_over_seeds_and_have_to_exceed_chance_too():
    gaps = pd.DataFrame(
        {
            "combination": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1], "public": [0.5, 0.7, 0.2, 0.2],
            "gradients": [0.1, 0.1, 0.4, 0.2], "permuted": [0.1, 0.3, 0.1, 0.1], "chance": [0.2, 0.2, 0.1, 0.1],
        }
    )  # fmt: skip
    found = combinations(gaps)
    assert found.parts["combinations"] == pytest.approx([0.4, -0.1])  # .6 - .2, .2 - .3
    assert found.controls["permuted_labels"] == pytest.approx([0.0, -0.2])
