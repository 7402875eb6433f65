"""The guarantee itself: all neighbours of small data sets, both relations, planted faults, sampled audits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trustlib.dppl import (
    DPPrototypePublic,
    PrivacyBudget,
    audit_selection,
    class_scores,
    mean_loss,
    neighbour_log_ratios,
    selection_log_probabilities,
    top_k_log_probabilities,
    worst_selection_loss,
)
from trustlib.dppl.laws import Laws
from trustlib.privacy import exact_delta_from_probabilities

ANGLES = np.linspace(0, 2 * np.pi, 6, endpoint=False)
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
OFF = np.stack([np.cos(ANGLES[:4] + 0.4), np.sin(ANGLES[:4] + 0.4)], axis=1)
WINDOWS = [(0.0, 2.0), (1.0, 1.9), (0.5, 0.6)]
RELATIONS = pytest.mark.parametrize("adjacency", ["add_remove", "replace"])


def worst(adjacency, *, window=(0.0, 2.0), epsilon=1.0, k=1, fault="none", n=2, pool=OFF):
    return worst_selection_loss(
        CIRCLE,
        pool,
        n_records=n,
        epsilon=epsilon,
        d_min=window[0],
        d_max=window[1],
        adjacency=adjacency,
        k=k,
        fault=fault,
    )


@RELATIONS
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("epsilon", [0.1, 2.0])
def test_no_neighbours_are_further_apart_than_epsilon(adjacency, window, k, epsilon):
    assert worst(adjacency, window=window, k=k, epsilon=epsilon).ratio <= 1 + 1e-9


@RELATIONS
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("k", [1, 2])
def test_the_laws_of_the_audit_are_those_of_the_library(adjacency, window, k):
    laws = Laws(CIRCLE, OFF, 0.7, *window, adjacency, k, "none")
    options = {"d_min": window[0], "d_max": window[1], "k": k, "adjacency": adjacency, "precision": "float64"}
    model = DPPrototypePublic(PrivacyBudget.from_em(0.7), **options)
    for rows in [(0,), (1, 1), (0, 2, 5), (3, 4, 4, 5)]:
        [theirs] = model.selection_log_probs(CIRCLE[list(rows)], [0] * len(rows), OFF, classes=[0])
        assert laws.of(rows) == pytest.approx(theirs, abs=1e-12)


def test_listing_equals_a_plain_search_with_the_public_functions():
    found, pairs = 0.0, 0
    for n in (0, 1):
        for rows in itertools.combinations_with_replacement(range(6), n):
            for x in range(6):
                laws = [
                    selection_log_probabilities(
                        class_scores(
                            CIRCLE[list(r)],
                            [0] * len(r),
                            OFF,
                            classes=[0],
                            d_min=1.0,
                            d_max=1.9,
                            precision="float64",
                        )
                        if r
                        else np.zeros((1, 4)),
                        epsilon=0.7,
                        adjacency="add_remove",
                    )
                    for r in (rows, (*rows, x))
                ]
                found, pairs = max(found, np.abs(laws[0] - laws[1]).max()), pairs + 1
    audit = worst("add_remove", window=(1.0, 1.9), epsilon=0.7)
    assert audit.loss == pytest.approx(found)
    assert audit.pairs == pairs == 42  # 1 + 6 data sets, 6 records each
    assert len(audit.changed) == 1


@pytest.mark.parametrize("k", [1, 2])
def test_doubled_exponent_is_found_out(k):
    # k candidates where the new record is, many opposite: their set gains 1 and is rare, so it loses the exponent
    pool = np.concatenate(
        [np.repeat(CIRCLE[:1], k, axis=0), np.repeat(CIRCLE[3:4], 40 if k == 1 else 12, axis=0)]
    )
    for adjacency in ("add_remove", "replace"):
        honest = worst(adjacency, pool=pool, epsilon=0.5, k=k, n=1)
        faulty = worst(adjacency, pool=pool, epsilon=0.5, k=k, n=1, fault="doubled_exponent")
        assert honest.ratio <= 1 + 1e-9
        assert faulty.ratio > 1.5


def test_monotone_exponent_is_wrong_when_records_are_replaced():
    # one candidate at 0 degrees, 200 at 180: scores (1, 0, .., 0) for one record and (0, 1, .., 1) for its opposite
    pool = np.concatenate([CIRCLE[:1], np.repeat(CIRCLE[3:4], 200, axis=0)])
    honest = worst("replace", pool=pool, epsilon=0.1, n=1)
    faulty = worst("replace", pool=pool, epsilon=0.1, n=1, fault="monotone_under_replace")
    assert honest.ratio <= 1
    # the first candidate has e^a / (e^a + 200) against 1 / (1 + 200 e^a); the log of their ratio is almost 2 a
    a = 0.1
    by_hand = math.log(math.exp(a) * (1 + 200 * math.exp(a)) / (math.exp(a) + 200)) / a
    assert faulty.ratio == pytest.approx(by_hand)
    assert faulty.ratio > 1.9


def test_clipping_the_sum_is_found_out():
    narrow = (0.9, 1.1)
    assert worst("add_remove", window=narrow, n=3).ratio <= 1 + 1e-9
    assert worst("add_remove", window=narrow, n=3, fault="clip_after_sum").ratio > 1.2


def test_wrong_binomials_make_outcomes_possible_on_one_side_only():
    assert worst("add_remove", k=2, n=2).ratio <= 1 + 1e-9
    found = worst("add_remove", k=2, n=2, fault="wrong_binomial")
    assert found.loss == np.inf
    assert found.ratio == np.inf


def test_wrong_binomials_need_a_large_delta():
    # three candidates in a near-tie, k = 1 of 3 counted as C(j, 1) with ranks from 0: weights 0, 1, 2 by rank
    epsilon = 0.1
    one, two = np.array([0.0, 1e-9, 2e-9]), np.array([2e-9, 1e-9, 0.0])

    def law(scores):
        rank = np.argsort(np.argsort(-scores))
        weight = rank * np.exp(epsilon / 2 * scores)
        return weight / weight.sum()

    # probabilities (2, 1, 0) / 3 and (0, 1, 2) / 3: delta is 2/3, whatever epsilon
    assert exact_delta_from_probabilities(law(one), law(two), epsilon=epsilon) == pytest.approx(2 / 3)
    _, right = top_k_log_probabilities(one, k=1, epsilon=epsilon, adjacency="add_remove")
    _, other = top_k_log_probabilities(two, k=1, epsilon=epsilon, adjacency="add_remove")
    assert exact_delta_from_probabilities(np.exp(right), np.exp(other), epsilon=epsilon) == 0.0


@pytest.mark.parametrize("window", WINDOWS)
def test_new_label_costs_epsilon_at_the_exponent_of_replace(window):
    # a record leaves one class and enters another; classes are drawn independently, so losses add up
    how = {"n_records": 2, "d_min": window[0], "d_max": window[1]}
    epsilon = 1.0
    half = worst_selection_loss(CIRCLE, OFF, **how, epsilon=epsilon / 2, adjacency="add_remove").loss
    assert 2 * half <= epsilon * (1 + 1e-9)
    # control: with the exponent of add/remove it costs more than epsilon somewhere
    pool = np.concatenate([CIRCLE[:1], np.repeat(CIRCLE[3:4], 40, axis=0)])
    full = worst_selection_loss(
        CIRCLE, pool, n_records=1, epsilon=epsilon, d_min=0.0, d_max=2.0, adjacency="add_remove"
    ).loss
    assert 2 * full > 1.5 * epsilon


def test_bounded_range_holds_for_both_relations():
    # spread of the log-ratios of all outcomes, which gives rho = epsilon^2 / 8
    for adjacency, k in itertools.product(("add_remove", "replace"), (1, 2)):
        ratios = neighbour_log_ratios(
            CIRCLE[:2], CIRCLE, OFF, epsilon=1.0, d_min=1.0, d_max=1.9, adjacency=adjacency, k=k
        )
        assert (ratios.max(axis=1) - ratios.min(axis=1)).max() <= 1 + 1e-9
        assert np.abs(ratios).max() <= 1 + 1e-9


@pytest.mark.parametrize(("adjacency", "k"), [("add_remove", 1), ("add_remove", 2), ("replace", 1)])
def test_sampled_audit_accepts_the_mechanism_and_refutes_the_fault(adjacency, k):
    # one set of k gains a record that the 29 (k = 1) or 14 (k = 2) other sets lack, or get in exchange
    two = np.zeros(30 if k == 1 else 6)
    one = two.copy()
    one[:k] = 1.0
    two[k:] = 1.0 if adjacency == "replace" else 0.0
    how = {
        "epsilon": 1.0,
        "adjacency": adjacency,
        "n_draws": 4000,
        "confidence": 0.999,
        "k": k,
        "rng": np.random.default_rng(0),
    }
    assert not audit_selection(one, two, **how).refutes(1.0)
    wrong = {"add_remove": "doubled_exponent", "replace": "monotone_under_replace"}[adjacency]
    assert audit_selection(one, two, **how, fault=wrong).refutes(1.0)


def test_private_mean_uses_its_sensitivity_exactly_and_no_more():
    domain = 3.0 * CIRCLE
    for adjacency in ("replace", "add_remove"):
        how = {"n_records": 4, "clip_norm": 1.5, "rho": 0.3, "adjacency": adjacency}
        assert mean_loss(domain, **how) == pytest.approx(1.0)  # opposite records, or one of full length
        assert mean_loss(domain, **how, fault="halved_sensitivity") == pytest.approx(2.0)
        assert mean_loss(domain, **how, fault="unclipped") == pytest.approx(2.0)  # 3 / 1.5


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"fault must be one of none, .* got 'gremlin'"):
        worst("add_remove", fault="gremlin")
    with pytest.raises(ValueError, match=r'needs adjacency="replace"'):
        worst("add_remove", fault="monotone_under_replace")
    with pytest.raises(ValueError, match=r"leaves no set at all"):
        worst("add_remove", k=4, fault="wrong_binomial")
    with pytest.raises(ValueError, match=r"too many to list"):
        worst("replace", n=40)
    with pytest.raises(ValueError, match=r"n_records must be at least 1"):
        worst("replace", n=0)
    with pytest.raises(ValueError, match=r"adjacency must be one of"):
        worst("swap")
    with pytest.raises(ValueError, match=r'fault must be "none", "doubled_exponent"'):
        audit_selection(
            [1.0],
            [0.0],
            epsilon=1.0,
            adjacency="replace",
            n_draws=100,
            confidence=0.9,
            rng=np.random.default_rng(0),
            fault="wrong_binomial",
        )
    with pytest.raises(ValueError, match=r"two vectors of one length"):
        audit_selection(
            [1.0],
            [0.0, 1.0],
            epsilon=1.0,
            adjacency="replace",
            n_draws=100,
            confidence=0.9,
            rng=np.random.default_rng(0),
        )
    with pytest.raises(ValueError, match=r"fault must be one of none, halved_sensitivity"):
        mean_loss(CIRCLE, n_records=1, clip_norm=1.0, rho=1.0, adjacency="replace", fault="doubled")
