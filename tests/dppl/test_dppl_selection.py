"""One public sample per class: exact law, draws from it in memory and in blocks, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.dppl import StreamedSelection, select_public, selection_exponent, selection_log_probabilities

SCORES = np.array([[0.0, 1.0, 3.0, 2.5, 0.5], [2.0, 0.1, 0.2, 1.0, 1.9]])


def expected_counts(row, exponent, draws):
    weight = [math.exp(exponent * u) for u in row]
    return np.array([draws * w / sum(weight) for w in weight])


def test_exponents_by_hand():
    assert selection_exponent(2.0, adjacency="add_remove") == 2.0
    assert selection_exponent(2.0, adjacency="replace") == 1.0


@pytest.mark.parametrize("adjacency", ["add_remove", "replace"])
def test_law_is_that_of_the_definition(adjacency):
    exponent = 1.4 if adjacency == "add_remove" else 0.7
    law = selection_log_probabilities(SCORES, epsilon=1.4, adjacency=adjacency)
    for row, log_p in zip(SCORES, law, strict=True):
        np.testing.assert_allclose(np.exp(log_p), expected_counts(row, exponent, 1.0))


def test_law_survives_huge_exponents():
    law = selection_log_probabilities([[1e5, 1e5 - 1]], epsilon=10.0, adjacency="add_remove")
    np.testing.assert_allclose(law[0, 1], -10.0, atol=1e-3)  # log(e^-10 / (1 + e^-10))


@pytest.mark.parametrize("block_size", [None, 1, 2, 5])
def test_draws_follow_the_law_in_any_blocks(block_size):
    draws = 8000
    chosen = select_public(
        SCORES,
        epsilon=1.0,
        adjacency="add_remove",
        rng=np.random.default_rng(3),
        size=draws,
        block_size=block_size,
    )
    assert chosen.shape == (draws, 2)
    for c in range(2):
        expected = expected_counts(SCORES[c], 1.0, draws)
        found = np.bincount(chosen[:, c], minlength=5)
        # chi-squared with 4 degrees of freedom; 23.5 is exceeded once in 10^4
        assert ((found - expected) ** 2 / expected).sum() < 23.5


def test_half_exponent_is_told_apart_from_the_full_one():
    # control of the test above: draws for "replace" do not pass as draws for "add_remove"
    chosen = select_public(SCORES, epsilon=1.0, adjacency="replace", rng=np.random.default_rng(3), size=8000)
    expected = expected_counts(SCORES[0], 1.0, 8000)
    found = np.bincount(chosen[:, 0], minlength=5)
    assert ((found - expected) ** 2 / expected).sum() > 100


def test_classes_are_drawn_independently():
    chosen = select_public(
        np.zeros((2, 2)), epsilon=1.0, adjacency="add_remove", rng=np.random.default_rng(0), size=4000
    )
    table = np.zeros((2, 2))
    np.add.at(table, (chosen[:, 0], chosen[:, 1]), 1)
    # each cell is binomial(4000, 1/4), standard deviation sqrt(750) = 27.4; 4.5 of them
    assert np.abs(table - 1000).max() < 124


@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 9))
def test_streaming_is_selection_from_memory(seed, n_classes, n_public):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 5, (n_classes, n_public))
    whole = select_public(
        scores, epsilon=1.0, adjacency="add_remove", rng=np.random.default_rng(seed), block_size=2
    )
    race = StreamedSelection(n_classes, epsilon=1.0, adjacency="add_remove", rng=np.random.default_rng(seed))
    for start in range(0, n_public, 2):
        race.update(start, scores[:, start : start + 2])
    np.testing.assert_array_equal(race.chosen, whole)
    assert ((whole >= 0) & (whole < n_public)).all()


def test_scores_far_behind_are_never_chosen_and_huge_ones_always():
    scores = np.array([[0.0, 1e6, 5.0]])
    for block in (1, 3):
        found = select_public(
            scores,
            epsilon=1.0,
            adjacency="add_remove",
            rng=np.random.default_rng(0),
            size=50,
            block_size=block,
        )
        assert (found == 1).all()


def test_bad_input_is_named():
    good = {"epsilon": 1.0, "adjacency": "add_remove", "rng": np.random.default_rng(0)}
    for value in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"epsilon must be a finite number > 0"):
            select_public(SCORES, **{**good, "epsilon": value})
    with pytest.raises(ValueError, match=r"adjacency must be one of add_remove, replace, got 'swap'"):
        select_public(SCORES, **{**good, "adjacency": "swap"})
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator, got int"):
        select_public(SCORES, **{**good, "rng": 0})
    with pytest.raises(ValueError, match=r"scores must be a matrix"):
        select_public(SCORES[0], **good)
    with pytest.raises(ValueError, match=r"scores must be finite"):
        select_public([[np.nan, 1.0]], **good)
    with pytest.raises(ValueError, match=r"block_size must be at least 1"):
        select_public(SCORES, **good, block_size=0)
    with pytest.raises(ValueError, match=r"n_classes must be at least 1"):
        StreamedSelection(0, **good)
    with pytest.raises(ValueError, match=r"finite"):
        selection_log_probabilities([[np.nan, 1.0]], epsilon=1.0, adjacency="add_remove")
