"""Sets of public samples: the fast sampler is the exponential mechanism over all sets; counts, ties, bad input."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.dppl import (
    log_set_counts,
    select_public,
    select_top_k,
    selection_log_probabilities,
    top_k_log_probabilities,
)


def exhaustive(scores, k, exponent):
    """The exponential mechanism over all sets, straight from its definition."""
    sets = list(itertools.combinations(range(len(scores)), k))
    weight = [math.exp(exponent * min(scores[i] for i in s)) for s in sets]
    return sets, np.array(weight) / sum(weight)


@pytest.mark.parametrize(("n", "k"), [(5, 3), (6, 1), (4, 4), (12, 5)])
def test_counts_are_binomials_and_cover_all_sets(n, k):
    found = np.exp(log_set_counts(n, k))
    np.testing.assert_allclose(found, [math.comb(j - 1, k - 1) for j in range(k, n + 1)])
    assert found.sum() == pytest.approx(math.comb(n, k))
    assert found[0] == pytest.approx(1.0)  # one set has the k-th best as its worst member


@given(
    st.lists(st.sampled_from([0.0, 0.3, 1.0, 1.0, 2.5, 4.0]), min_size=2, max_size=8),
    st.integers(1, 8),
    st.floats(0.1, 3.0),
    st.sampled_from(["add_remove", "replace"]),
)
def test_law_of_the_sampler_is_the_exhaustive_mechanism(scores, k, epsilon, adjacency):
    k = min(k, len(scores))
    sets, log_p = top_k_log_probabilities(scores, k=k, epsilon=epsilon, adjacency=adjacency)
    expected_sets, expected = exhaustive(scores, k, epsilon if adjacency == "add_remove" else epsilon / 2)
    assert [tuple(s) for s in sets.tolist()] == expected_sets
    np.testing.assert_allclose(np.exp(log_p), expected, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_draws_follow_the_exhaustive_law(k):
    scores, draws = [3.0, 1.0, 1.0, 2.0, 0.0], 6000  # with a tie
    sets, p = exhaustive(scores, k, 0.8)
    found = select_top_k(
        [scores], k=k, epsilon=0.8, adjacency="add_remove", rng=np.random.default_rng(5), size=draws
    )
    assert found.shape == (draws, 1, k)
    counts = dict.fromkeys(sets, 0)
    for row in found[:, 0].tolist():
        counts[tuple(sorted(row))] += 1
    observed = np.array(list(counts.values()))
    # chi-squared; its mean is the degrees of freedom f, its deviation sqrt(2 f): 5 of them
    freedom = len(sets) - 1
    assert ((observed - draws * p) ** 2 / (draws * p)).sum() < freedom + 5 * math.sqrt(2 * freedom) + 1


def test_companions_are_uniform_and_unordered():
    # worst member is always rank 4 of 4 (k = 4): every order of a set is equally likely
    found = select_top_k(
        [[4.0, 3.0, 2.0, 1.0]],
        k=4,
        epsilon=1.0,
        adjacency="add_remove",
        rng=np.random.default_rng(0),
        size=4000,
    )
    first = np.bincount(found[:, 0, 0], minlength=4)
    assert np.abs(first - 1000).max() < 4.5 * math.sqrt(4000 * 0.25 * 0.75)


def test_one_prototype_is_dppl_public():
    scores = np.array([0.3, 2.0, 1.1, 1.9])
    for adjacency in ("add_remove", "replace"):
        sets, log_p = top_k_log_probabilities(scores, k=1, epsilon=1.3, adjacency=adjacency)
        np.testing.assert_array_equal(sets[:, 0], range(4))
        expected = selection_log_probabilities(scores, epsilon=1.3, adjacency=adjacency)
        np.testing.assert_allclose(log_p, expected, atol=1e-12)
    rng = np.random.default_rng(0)
    best = select_top_k([[0.0, 40.0]], k=1, epsilon=5.0, adjacency="add_remove", rng=rng)
    assert best.tolist() == [[1]]
    assert select_public([[0.0, 40.0]], epsilon=5.0, adjacency="add_remove", rng=rng).tolist() == [1]


def test_loose_budget_gives_the_best_set_and_all_of_the_pool_is_possible():
    rng = np.random.default_rng(0)
    scores = rng.permutation(np.arange(50.0))[None]
    found = select_top_k(scores, k=5, epsilon=60.0, adjacency="add_remove", rng=rng)
    assert set(found[0].tolist()) == set(np.argsort(-scores[0])[:5].tolist())
    everything = select_top_k(scores, k=50, epsilon=1.0, adjacency="add_remove", rng=rng)
    assert sorted(everything[0].tolist()) == list(range(50))


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 12), st.floats(0.01, 20.0))
def test_members_are_different_and_in_range(seed, n_classes, k, epsilon):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 3, (n_classes, 12))
    found = select_top_k(scores, k=k, epsilon=epsilon, adjacency="replace", rng=rng)
    assert found.shape == (n_classes, k)
    assert ((found >= 0) & (found < 12)).all()
    assert all(len(set(row)) == k for row in found.tolist())


def test_a_million_candidates_stay_finite():
    counts = log_set_counts(1_000_000, 20)
    # the last is log C(999999, 19), about 19 log(999999) - log(19!)
    assert counts[-1] == pytest.approx(19 * math.log(999_999) - math.lgamma(20), abs=1e-3)
    assert np.isfinite(counts).all()


def test_bad_input_is_named():
    good = {"epsilon": 1.0, "adjacency": "add_remove", "rng": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=r"k must be at least 1, got 0"):
        select_top_k([[1.0]], k=0, **good)
    with pytest.raises(ValueError, match=r"k must be at most the 2 public samples, got 3"):
        select_top_k([[1.0, 2.0]], k=3, **good)
    with pytest.raises(TypeError, match=r"k must be a whole number, got 1.5"):
        select_top_k([[1.0, 2.0]], k=1.5, **good)
    with pytest.raises(ValueError, match=r"too many to list"):
        top_k_log_probabilities(np.zeros(60), k=10, epsilon=1.0, adjacency="add_remove")
    with pytest.raises(ValueError, match=r"scores must be finite"):
        top_k_log_probabilities([np.nan, 1.0], k=1, epsilon=1.0, adjacency="add_remove")
