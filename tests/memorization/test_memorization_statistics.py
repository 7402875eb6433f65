"""Tests between subsets, corrected p-values, intervals, rankings: hand cases, other libraries, coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trustlib.memorization import (
    auc,
    bootstrap_difference,
    compare_subsets,
    holm_correction,
    kendall_matrix,
    memorized_points,
    overlap_at_k,
    overlap_matrix,
    share_above,
    subset_scores,
)


def four_subsets(effect=1.0, n=150, runs=3, seed=0):
    rng = np.random.default_rng(seed)
    means = {"S": 0.0, "C": effect, "I": -effect, "E": 0.0}
    return {name: rng.normal(mean, 1, (runs, n)) for name, mean in means.items()}


def test_planted_memorization_is_found_with_its_control():
    result = compare_subsets(four_subsets(), n_boot=300)
    assert [(row.upper, row.lower) for row in result.rows] == [
        ("C", "S"), ("C", "E"), ("S", "I"), ("E", "I"), ("S", "E"),
    ]  # fmt: skip
    assert result.excess.auc > 0.7
    control = result["S", "E"]
    assert control.is_control
    assert 0.4 < control.auc < 0.6
    assert control.ci_low < 0 < control.ci_high
    assert result.excess.runs == 3
    assert result.to_frame().shape == (5, 10)
    one = compare_subsets(four_subsets(runs=1), n_boot=300)
    assert all(row.p_holm < 1e-6 for row in one.rows[:4])
    assert one.to_frame().shape == (5, 13)


def test_without_effect_nothing_is_found_and_swapping_changes_the_sign():
    null = compare_subsets(four_subsets(effect=0.0, runs=1), n_boot=300)
    assert all(row.p_holm > 0.05 for row in null.rows)
    subsets = four_subsets(runs=1)
    plain = compare_subsets(subsets, n_boot=300)
    swapped = compare_subsets({name: -value for name, value in subsets.items()}, n_boot=300)
    assert swapped.excess.difference == pytest.approx(-plain.excess.difference)
    assert swapped.excess.auc == pytest.approx(1 - plain.excess.auc)
    assert swapped.excess.p > 0.999


def test_several_pairs_are_compared_pair_by_pair():
    # pair 1: 3 > 2, 3 > 0, 1 > 0, 1 < 2: 3 of 4; pair 2: 7 > 6, 7 > 4, 5 > 4, 5 < 6: 3 of 4. Mean 3 / 4.
    c, e = [[1.0, 3.0], [5.0, 7.0]], [[2.0, 0.0], [6.0, 4.0]]
    assert compare_subsets({"C": c, "E": e}, n_boot=100).excess.auc == pytest.approx(0.75)
    # the order of points within a pair means nothing; averaged by position, C would be 4 and 4, E 3 and 3: area 1
    turned = {"C": [c[0], c[1][::-1]], "E": [e[0][::-1], e[1]]}
    result = compare_subsets(turned, n_boot=100).excess
    assert result.auc == pytest.approx(0.75)
    assert np.isnan([result.t, result.p, result.p_holm]).all()
    # equal in pair 1 (1 / 2), apart in pair 2 (1): 3 / 4, and an offset of one pair changes nothing
    unequal = {"C": np.array([[0.0, 1.0], [2.0, 3.0]]), "E": np.array([[0.0, 1.0], [0.0, 1.0]])}
    moved = {name: values + np.array([[5.0], [0.0]]) for name, values in unequal.items()}
    for scores in (unequal, moved):
        assert compare_subsets(scores, n_boot=100).excess.auc == pytest.approx(0.75)


def test_areas_of_pairs_do_not_grow_with_their_number():
    # points of unit variance .7 apart: area Phi(.7 / sqrt 2) = .690, for one pair and for twelve; each is known to
    # sqrt((1 / 3) / 150) = .047 at worst, twelve to .014. Scores averaged over pairs would give .96 at twelve.
    for runs, error in ((1, 0.047), (12, 0.014)):
        found = compare_subsets(four_subsets(effect=0.7, runs=runs), n_boot=100).excess.auc
        assert abs(found - 0.690) < 4 * error


def test_welch_agrees_with_scipy_and_is_one_sided():
    subsets = four_subsets(n=30, runs=1)
    row = compare_subsets(subsets, n_boot=100).excess
    a, b = subsets["C"][0], subsets["E"][0]
    expected = stats.ttest_ind(a, b, equal_var=False, alternative="greater")
    assert (row.t, row.p) == pytest.approx((expected.statistic, expected.pvalue))


def test_constant_scores_have_a_test_too():
    equal = compare_subsets({"C": [1.0, 1.0], "E": [1.0, 1.0]}, n_boot=100).excess
    assert (equal.t, equal.p) == (0.0, 0.5)
    apart = compare_subsets({"C": [2.0, 2.0], "S": [1.0, 1.0], "E": [1.0, 1.0]}, n_boot=100)
    assert (apart.excess.t, apart.excess.p) == (np.inf, 0.0)
    assert apart["S", "E"].p == 1.0


@pytest.mark.parametrize(
    ("subsets", "words"),
    [
        ({"C": [1.0, 2.0]}, "no two comparable subsets"),
        ({"C": [1.0, 2.0], "X": [1.0, 2.0]}, r"unknown subsets \['X'\]"),
        ({"C": [1.0], "E": [1.0, 2.0]}, "subset C needs shape"),
        ({"C": [1.0, np.inf], "E": [1.0, 2.0]}, "subset C holds 1 non-finite"),
        ({"C": [[1.0, 2.0]] * 2, "E": [1.0, 2.0]}, "same encoder pairs"),
    ],
)
def test_compare_subsets_refuses(subsets, words):
    with pytest.raises(ValueError, match=words):
        compare_subsets(subsets)


def test_compare_subsets_refuses_settings():
    pair = {"C": [1.0, 2.0], "E": [1.0, 2.0]}
    with pytest.raises(ValueError, match="n_boot must be >= 100"):
        compare_subsets(pair, n_boot=10)
    with pytest.raises(ValueError, match="confidence must be in"):
        compare_subsets(pair, confidence=95)
    with pytest.raises(KeyError, match="no comparison C>S; there are C>E"):
        compare_subsets(pair)["C", "S"]


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1 = .04 .06 .06 .04 -> running maximum .04 .06 .06 .06
    assert holm_correction([0.02, 0.01, 0.04, 0.03]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm_correction([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm_correction([]).size == 0
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        holm_correction([1.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_raw_value_and_bonferroni(p):
    adjusted = holm_correction(p)
    assert (adjusted >= np.array(p) - 1e-15).all()
    assert (adjusted <= np.minimum(1, len(p) * np.array(p)) + 1e-15).all()


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=8), st.lists(st.integers(0, 4), min_size=1, max_size=8)
)
def test_auc_counts_pairs(a, b):
    wins = sum((x > y) + (x == y) / 2 for x in a for y in b)
    assert auc(a, b) == pytest.approx(wins / (len(a) * len(b)))


def test_auc_refuses_an_empty_side():
    with pytest.raises(ValueError, match="got 0 and 1"):
        auc([], [1.0])


def test_bootstrap_interval_covers_the_difference_between_points():
    # 200 data sets of two normal samples: the 90 % interval covers 0.3 in 180 +- 4 * sqrt(200 * .9 * .1)
    rng = np.random.default_rng(5)
    hits = 0
    for replicate in range(200):
        a, b = rng.normal(0.3, 1, 40), rng.normal(0, 1, 40)
        low, high = bootstrap_difference(a, b, n_boot=200, confidence=0.9, seed=replicate)
        hits += low < 0.3 < high
    assert 180 - 17 - 6 <= hits <= 180 + 17  # percentile intervals of 40 points run about 3 % short


def test_bootstrap_over_runs_is_wider_than_over_points():
    rng = np.random.default_rng(6)
    runs = rng.normal(0, 1, (4, 1)) + rng.normal(0, 0.1, (4, 100))
    zero = np.zeros((4, 100))
    pooled = np.subtract(*bootstrap_difference(runs.reshape(-1), zero.reshape(-1))[::-1])
    nested = np.subtract(*bootstrap_difference(runs, zero)[::-1])
    assert nested > 3 * pooled
    with pytest.raises(ValueError, match="same encoder pairs"):
        bootstrap_difference(np.zeros((2, 3)), np.zeros(3))


def test_overlap_by_hand_and_by_sets():
    assert overlap_at_k([5, 4, 3, 2, 1], [5, 1, 4, 2, 3], 3) == pytest.approx(2 / 3)
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(4, 30))
    matrix = overlap_matrix(scores, 10)
    for i in range(4):
        for j in range(4):
            tops = [
                set(sorted(range(30), key=lambda p, row=row: -row[p])[:10]) for row in (scores[i], scores[j])
            ]
            assert matrix[i, j] == pytest.approx(len(tops[0] & tops[1]) / 10)
    with pytest.raises(ValueError, match="1 <= k <= n"):
        overlap_matrix(scores, 31)
    with pytest.raises(ValueError, match="same points"):
        overlap_at_k([1, 2], [1, 2, 3], 1)


def test_unrelated_rankings_overlap_by_chance():
    # hypergeometric: mean k / n = .2, sd of one overlap sqrt(20 * .2 * .8 * 80 / 99) / 20 = .08, 45 pairs
    matrix = overlap_matrix(np.random.default_rng(8).normal(size=(10, 100)), 20)
    pairs = matrix[np.triu_indices(10, 1)]
    assert abs(pairs.mean() - 0.2) < 4 * 0.08 / np.sqrt(45)


def test_kendall_by_hand():
    # of the 6 pairs of (1,2,3,4) and (1,2,4,3) five agree and one does not: (5 - 1) / 6
    tau, p = kendall_matrix([[1, 2, 3, 4], [1, 2, 4, 3], [1, 1, 1, 1]])
    assert tau[0, 1] == tau[1, 0] == pytest.approx(4 / 6)
    assert tau[0, 0] == pytest.approx(1)
    assert 0 <= p[0, 1] <= 1
    assert np.isnan(tau[2]).all()
    with pytest.raises(ValueError, match="n >= 2"):
        kendall_matrix([[1.0], [2.0]])


def test_share_above_a_null_quantile():
    null = np.linspace(0, 1, 101)
    share, low, high = share_above([0.5, 0.96, 0.97, 2.0], null)
    assert share == 0.75
    assert low < 0.75 < high
    own, low, high = share_above(np.random.default_rng(9).uniform(size=4000), null)
    assert low < 0.05 < high
    assert own == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 4000))
    with pytest.raises(ValueError, match="quantile in"):
        share_above([1.0], [1.0], quantile=95)
    with pytest.raises(ValueError, match="1-d array"):
        share_above([[1.0]], [1.0])


def test_memorized_points_by_hand():
    # null 0..98: p = (1 + #{null >= s}) / 100 = .01, .02, .51, 1; levels .05 i / 4 = .0125, .025, .0375, .05
    chosen = memorized_points([200.0, 98.0, 49.0, -1.0], np.arange(99), fdr=0.05)
    assert chosen.tolist() == [True, True, False, False]
    assert not memorized_points([200.0], np.arange(5), fdr=0.05).any()
    with pytest.raises(ValueError, match="fdr in"):
        memorized_points([1.0], [1.0], fdr=0.0)


def test_false_discoveries_stay_below_the_bound():
    # 400 draws, 20 of 100 candidates memorized: mean share of false discoveries <= .1 + 3 standard errors
    rng = np.random.default_rng(10)
    shares = []
    for _ in range(400):
        scores = rng.normal(size=100)
        scores[:20] += 4
        chosen = memorized_points(scores, rng.normal(size=300), fdr=0.1)
        shares.append(chosen[20:].sum() / max(1, chosen.sum()))
    assert np.mean(shares) <= 0.1 + 3 * np.std(shares) / np.sqrt(400)
    assert np.mean(shares) > 0.03


def test_subset_scores_cut_and_refuse():
    scores = np.arange(12.0).reshape(2, 6)
    parts = subset_scores(scores, {"C": [0, 1], "E": [5]})
    assert parts["C"].tolist() == [[0, 1], [6, 7]]
    with pytest.raises(ValueError, match="subsets overlap"):
        subset_scores(scores, {"C": [0, 1], "E": [1]})
    with pytest.raises(ValueError, match="outside the pool of 6"):
        subset_scores(scores, {"C": [6]})
