"""Samples of the claims: what they are made of, checked on a comparison whose accuracies are written down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trustlib.claims import load_claims
from trustlib.dppl import evidence
from trustlib.dppl.comparison import Comparison
from trustlib.dppl.comparison_plan import METHODS, REFERENCES, Plan
from trustlib.dppl.evidence_combinations import combination_gaps, combinations
from trustlib.dppl.evidence_guarantee import guarantee
from trustlib.dppl.evidence_variants import Variants, run_variants
from trustlib.dppl.evidence_views import chosen_images, first_scores, hit_probabilities

RHOS, RATIOS, SEEDS, CLASSES = (0.005, 0.05, 0.5, 50.0), (1.0, 10.0), 3, 4
PLAN = Plan(rhos=RHOS, ratios=RATIOS, largest=40, n_seeds=SEEDS, seed=0)
GRID = (1, 3)
CONDITIONS = (
    "permuted", "pool noise", "window", "absurd window", "ten", "ten permuted", "pooled mean",
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


def every(compared, variants):
    return {
        "dppl-1": evidence.utility(compared, variants),
        "dppl-2": evidence.rare_classes(compared, variants),
        "dppl-3": evidence.frequent_classes(compared, variants),
        "dppl-5": evidence.against_means(compared, variants),
        "dppl-6": evidence.few_samples(compared, variants),
        "dppl-7": evidence.several_prototypes(compared, variants),
        "dppl-8": evidence.windows(compared, variants),
        "dppl-9": evidence.pooling(compared, variants),
        "dppl-10": evidence.amplification(compared),
        "dppl-11": evidence.equal_treatment(compared),
    }


def test_samples_and_controls_are_those_of_the_claims_file(compared, variants, root):
    book = load_claims(root / "book/claims.yml")
    for name, found in every(compared, variants).items():
        assert set(found.parts) == {part.name for part in book[name].parts}, name
        assert set(found.controls) == {control.name for control in book[name].controls}, name
        for samples in (*found.parts.values(), *found.controls.values()):
            assert samples.shape == (SEEDS,)


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


def test_means_compete_with_their_better_half_and_the_tight_control_is_the_opposite(compared, variants):
    found = evidence.against_means(compared, variants)
    for part, rho, sign in (("tight", 0.5, 1), ("loose", 50.0, -1)):
        means = [cell(compared, m, 10.0, rho).mean(axis=1) for m in ("coinpress", "naive")]
        lead = cell(compared, "public", 10.0, rho).mean(axis=1) - np.max(means, axis=0)
        assert found.parts[part] == pytest.approx(sign * lead)
    assert found.controls["tight_budget"] == pytest.approx(-found.parts["tight"])


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
    assert found.parts["through_privacy"] == pytest.approx(
        slopes("dp_sgd", 10.0) - slopes("linear_probe", 10.0)
    )
    assert found.controls["balanced_public"] == pytest.approx(slopes("dp_sgd", 1.0) - slopes("public", 1.0))
    found = evidence.equal_treatment(compared)
    assert found.parts["mean_slope"] == pytest.approx(slopes("coinpress", 10.0))
    assert found.controls["dp_sgd"] == pytest.approx(slopes("dp_sgd", 10.0))


def test_exact_losses_keep_the_guarantee_and_every_fault_breaks_it():
    found = guarantee()
    for name, ratios in found.parts.items():
        assert ratios.max() <= 1 + 1e-9, name
    for name, ratios in found.controls.items():
        assert ratios.max() > 1.05, name
    assert found.controls["doubled_exponent"].max() <= 2 + 1e-9
    assert found.controls["label_change"].max() <= 2 + 1e-9  # leaves one class and enters another


def test_combinations_average_over_seeds():
    gaps = pd.DataFrame(
        {
            "combination": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1], "public": [0.5, 0.7, 0.2, 0.2],
            "gradients": [0.1, 0.1, 0.4, 0.2], "permuted": [0.1, 0.3, 0.1, 0.1],
        }
    )  # fmt: skip
    found = combinations(gaps)
    assert found.parts["combinations"] == pytest.approx([0.5, -0.1])
    assert found.controls["permuted_labels"] == pytest.approx([0.1, -0.2])


@pytest.fixture(scope="module")
def toy():
    from trustlib.dppl import Task, unit_rows

    rng = np.random.default_rng(0)

    def draw(m):
        y = np.arange(m) % CLASSES
        return unit_rows(np.eye(8)[y] + 0.25 * rng.standard_normal((m, 8))), y

    (X, y), (test, test_y), (pool, pool_y) = draw(160), draw(80), draw(120)
    noise = unit_rows(rng.standard_normal((40, 8)))
    return Task(X, y, test, test_y, {"held_out": pool, "noise": noise}, pool, pool_y, tuple("abcd"), "toy")


def test_variants_have_all_conditions_and_the_right_shape(toy):
    plan = Plan(rhos=(0.005, 50.0), ratios=(1, 5), largest=20, n_seeds=2, seed=0, n_draws=2)
    found = run_variants(toy, plan, k_grid=GRID)
    assert set(CONDITIONS) <= set(found.accuracy)
    assert all(values.shape == (2, 2, CLASSES) for values in found.accuracy.values())
    assert found.k_curve().shape == (2, 2, 2)
    assert found.balanced("top 1", 50.0).min() > 0.9
    assert found.balanced("permuted", 50.0).max() < 0.9
    with pytest.raises(ValueError, match="pools must include 'noise'"):
        run_variants(replace(toy, pools={"held_out": toy.pool}), plan, k_grid=GRID)
    with pytest.raises(ValueError, match="start with 1"):
        run_variants(toy, replace(plan, ratios=(5,)), k_grid=GRID)
    with pytest.raises(ValueError, match="name must be one of"):
        found.by_class("nothing", 50.0)


def test_combination_gaps_compare_every_task(toy):
    plan = Plan(rhos=(0.5,), ratios=(1, 4), largest=20, n_seeds=2, seed=0, n_draws=2)
    gaps = combination_gaps({"one": toy, "two": toy}, plan)
    assert gaps["combination"].tolist() == ["one", "one", "two", "two"]
    assert gaps[["public", "gradients", "permuted"]].to_numpy().min() >= 0
    assert gaps.loc[:1, "public"].tolist() == gaps.loc[2:, "public"].tolist()  # same task, same seeds


def test_views_choose_public_images_of_the_class_when_the_budget_is_loose(toy):
    scores = first_scores(toy, 10)
    assert scores.shape == (CLASSES, 120)
    assert 0 <= scores.min() <= scores.max() <= 10
    chosen = chosen_images(scores, [2, 0], epsilon=1e4, n_draws=3, seed=0)
    assert chosen.tolist() == [[int(scores[2].argmax()), int(scores[0].argmax())]] * 3
    table = hit_probabilities(toy, toy.proxy_labels, rows=(5, 20), epsilons=(1e-6, 100.0))
    low, high = (table[table["epsilon"] == e]["probability"] for e in (1e-6, 100.0))
    assert low.to_numpy() == pytest.approx(
        1 / CLASSES, abs=1e-4
    )  # uniform: a quarter of the pool shows the class
    assert high.min() > 0.9
