"""Samples of the claims on points, layers and trainings: planted effects are found, their absence is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from trustlib.claims import check
from trustlib.memorization import LayerMem, VitBlock, evidence, evidence_variants
from trustlib.memorization.atypicality import pixel_atypicality
from trustlib.memorization.evidence_statistics import (
    correlate_rows,
    excess_replicates,
    halves,
    overlap_of_seeds,
    spearman,
)
from trustlib.memorization.evidence_studies import excess_by_method, excess_by_step
from trustlib.memorization.further_studies import decided

PAIRS, N = 3, 60


def scores(effect, *, seed=0, n=N, pairs=PAIRS):
    """Scores of the four subsets, candidates moved up and independent points down by ``effect``."""
    rng = np.random.default_rng(seed)
    drawn = {"S": (n, 0), "C": (n, effect), "I": (n, -effect), "E": (2 * n, 0)}
    return {name: rng.normal(shift, 0.05, (pairs, size)) for name, (size, shift) in drawn.items()}


def table(excess, *, seed=0, n=N, pairs=PAIRS):
    """LayerMem with a given excess per layer; noise of a point is common to its layers."""
    rng = np.random.default_rng(seed)
    rise = np.asarray(excess, dtype=float)[:, None]
    own = rng.normal(0, 0.02, (pairs, 1, n)) + rng.normal(0, 0.01, (pairs, len(rise), n)) + rise
    other = rng.normal(0, 0.02, (pairs, 1, 2 * n)) + rng.normal(0, 0.01, (pairs, len(rise), 2 * n))
    return LayerMem(tuple(f"layer{k}" for k in range(len(rise))), own, other)


def verdict(claim, found):
    """What the claim's own rule says about samples and controls."""
    return check(claim, found.samples, controls=found.controls)


def failed_controls(result):
    """Whether every control of every part failed, as it must."""
    return all(control.failed for part in result.parts for control in part.controls)


# ------------------------------------------------------------------------------------------------------- statistics


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=12, unique=True), st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_spearman_agrees_with_scipy(values, seed):
    other = np.random.default_rng(seed).normal(size=len(values)).round(1)
    ours = spearman(np.array(values), other)
    if np.ptp(other) == 0:
        assert ours == 0
    else:
        assert ours == pytest.approx(spearmanr(values, other).statistic)


def test_spearman_of_a_constant_row_is_zero_and_rows_are_compared_with_their_order():
    rows = np.array([[1.0, 1.0, 1.0], [0.1, 0.2, 0.5], [3.0, 2.0, 1.0]])
    assert correlate_rows(rows).tolist() == [0.0, pytest.approx(1.0), pytest.approx(-1.0)]


def test_halves_are_disjoint_and_equal_for_arrays_of_one_length():
    one, other = halves(np.arange(9))
    assert len(one) == len(other) == 4  # the ninth is left out
    assert not set(one) & set(other)
    again, _ = halves(np.arange(9) * 10)
    assert (again == one * 10).all()


def test_excess_replicates_centre_on_the_difference_of_means():
    s = scores(0.1)
    drawn = excess_replicates(s["C"][:, None], s["E"][:, None], n_boot=2000)
    own = s["C"].mean() - s["E"].mean()
    # the replicates' spread is about their standard error; their mean has a 45th of it
    assert abs(drawn.mean() - own) < 0.2 * drawn.std()
    assert drawn.shape == (2000, 1)


def test_conditions_share_the_draws_so_that_equal_conditions_differ_by_exactly_nothing():
    s = scores(0.1)
    twice = [np.stack([s[name], s[name]], axis=1) for name in "CE"]
    drawn = excess_replicates(*twice, n_boot=50)
    assert (drawn[:, 0] == drawn[:, 1]).all()


def test_overlap_of_seeds_by_hand():
    rows = np.array(
        [[9, 8, 1, 1, 1, 1, 1, 1, 1, 1], [9, 1, 8, 1, 1, 1, 1, 1, 1, 1], [1, 1, 9, 8, 1, 1, 1, 1, 1, 1]]
    )
    # the upper fifth of ten points are two: {0, 1}, {0, 2}, {2, 3}
    assert overlap_of_seeds(rows.astype(float)).tolist() == [0.5, 0.0, 0.5]


def test_excess_by_method_takes_the_first_pair():
    own = {"C": np.array([[3.0, 3.0], [9.0, 9.0]]), "E": np.array([[1.0, 1.0], [0.0, 0.0]])}
    frame = excess_by_method({"a": own})
    assert frame.loc["a"].tolist() == [2.0, 2.0, 2.0]
    assert excess_by_method({"b": scores(0.1), "a": own}).index.tolist() == ["b", "a"]


def test_excess_by_step_in_epochs():
    frame = excess_by_step({30: scores(0.1), 10: scores(0.0, seed=1)}, 10)
    assert frame["epoch"].tolist() == [1.0, 3.0]
    assert frame["excess"].iloc[1] == pytest.approx(0.1, abs=4 * 0.05 / np.sqrt(PAIRS * N))
    assert (frame["low"] <= frame["excess"]).all()
    assert (frame["excess"] <= frame["high"]).all()


# ------------------------------------------------------------------------------------------------------ atypicality


def test_atypicality_against_a_plain_loop():
    rng = np.random.default_rng(0)
    base, points = rng.normal(size=(40, 5)), rng.normal(size=(7, 5))
    found = pixel_atypicality(points, base, k=3, n_components=5)
    whiten = np.linalg.inv(np.cov(base.T, bias=True))  # all components kept: the Mahalanobis distance
    for value, point in zip(found, points, strict=True):
        far = sorted(float(np.sqrt((point - b) @ whiten @ (point - b))) for b in base)
        assert value == pytest.approx(np.mean(far[:3]))


@pytest.mark.parametrize(
    ("k", "shape", "message"), [(0, 5, "between 1 and the 40"), (41, 5, "got 41"), (3, 4, "shape")]
)
def test_atypicality_refuses(k, shape, message):
    with pytest.raises(ValueError, match=message):
        pixel_atypicality(np.zeros((2, shape)), np.zeros((40, 5)), k=k)


# ----------------------------------------------------------------------------------------------------------- points


@pytest.mark.parametrize(("effect", "expected"), [(0.1, "supported"), (0.0, "not supported")])
def test_by_method_and_order(effect, expected):
    methods = {name: scores(effect, seed=n) for n, name in enumerate("abc")}
    nothing = {name: scores(0.0, seed=10 + n) for n, name in enumerate("abc")}
    one = verdict("memorization-1", evidence.by_method(methods, nothing))
    two = verdict("memorization-2", evidence.order_of_subsets(scores(effect)))
    missed = {
        "supported": "supported",
        "not supported": "inconclusive",
    }  # a count that is missed refutes nothing
    assert (one.verdict, two.verdict) == (missed[expected], expected)
    assert failed_controls(one)
    assert failed_controls(two)


def test_an_offset_of_the_whole_encoder_is_not_memorization():
    moved = {name: values + 0.2 for name, values in scores(0.0).items()}
    assert evidence.order_of_subsets(moved).samples["order_of_subsets"].tolist() == [0, 0, 0]
    assert evidence.by_method({"a": moved}, {"a": moved}).samples["excess_by_method"].tolist() == [0]


def test_shared_points_that_score_like_candidates_make_the_order_inconclusive():
    s = scores(0.2)
    s["S"] = s["S"] + 0.1  # shared points stand out too, between external points and candidates
    result = verdict("memorization-2", evidence.order_of_subsets(s))
    assert result.part("order_of_subsets").verdict == "supported"
    assert result.verdict == "inconclusive"
    assert "shared_as_candidates" in result.reason


def test_share_memorized_counts_points_above_the_quantile_of_the_external_ones():
    s = {
        "E": np.arange(100.0)[None],
        "C": np.array([[50.0, 94.0, 96.0, 99.0]]),
        "S": np.array([[1.0, 2.0, 3.0, 98.0]]),
    }
    found = evidence.share_memorized(s)  # the quantile is 94.05
    assert found.samples["share_memorized"].tolist() == [0, 0, 1, 1]
    assert found.controls["shared_points"].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(("slope", "expected"), [(0.1, "supported"), (0.0, "inconclusive")])
def test_atypical_points(slope, expected):
    rng = np.random.default_rng(1)
    odd = {"C": rng.gamma(2, 1, (PAIRS, N)), "E": rng.gamma(2, 1, (PAIRS, 2 * N))}
    s = scores(0.1)
    s["C"] = s["C"] + slope * odd["C"]
    result = verdict("memorization-4", evidence.atypical_points(s, odd, n_boot=400))
    assert result.verdict == expected
    assert failed_controls(result)


def test_a_score_that_follows_atypicality_on_unseen_points_too_is_no_support():
    rng = np.random.default_rng(1)
    odd = {"C": rng.gamma(2, 1, (PAIRS, N)), "E": rng.gamma(2, 1, (PAIRS, 2 * N))}
    s = {name: scores(0.1)[name] + 0.1 * odd[name] for name in "CE"}
    assert verdict("memorization-4", evidence.atypical_points(s, odd, n_boot=400)).verdict != "supported"


@pytest.mark.parametrize(
    ("effects", "expected"), [((0, 0.02, 0.04, 0.06, 0.08), "supported"), ((0,) * 5, "not supported")]
)
def test_training_time(effects, expected):
    by_step = {10 * n + 1: scores(effect, seed=n) for n, effect in enumerate(effects)}
    result = verdict("memorization-5", evidence.training_time(by_step))
    assert result.verdict == expected
    assert failed_controls(result)


# ----------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize(
    ("excess", "expected"), [(np.arange(8) * 0.02, "supported"), (np.zeros(8), "not supported")]
)
def test_depth(excess, expected):
    result = verdict("memorization-11", evidence.depth(table(excess)))
    assert result.verdict in {expected, "inconclusive"}
    assert (result.verdict == "supported") == (expected == "supported")
    assert failed_controls(result)


def test_gain_per_layer_sees_gains_and_is_not_fooled_by_choosing_the_largest():
    rising, again = table(np.arange(1, 9) * 0.03), table(np.arange(1, 9) * 0.03, seed=1)
    assert evidence.gain_per_layer(rising, again).samples["layers_with_gain"].sum() == 8
    flat = table(np.zeros(8))
    found = evidence.gain_per_layer(flat, flat)  # chosen and measured on the same draws, the worst case
    assert found.samples["layers_with_gain"].sum() <= 2
    assert found.controls["external_halves"].sum() <= 2


def test_the_first_layer_is_compared_with_nothing_before_it():
    one = table([0.1, 0.1, 0.1])
    assert evidence.gain_per_layer(one, table([0.1, 0.1, 0.1], seed=1)).samples[
        "layers_with_gain"
    ].tolist() == [1, 0, 0]


def test_near_and_far_by_hand():
    top = np.zeros((1, 6, 10))
    for layer, points in enumerate([(0, 1), (0, 1), (0, 2), (2, 3), (4, 5), (4, 5)]):
        top[0, layer, list(points)] = 1.0
    # next layers share 1, 1/2, 1/2, 0, 1 of two points: mean .6; layers 4 and 5 apart: 0, 0, 0
    same = np.tile(top[:, :1], (1, 6, 1))  # all layers agree on two points: 1 - 1
    found = evidence.near_and_far(LayerMem(tuple("abcdef"), top, top), same)
    assert found.samples["near_minus_far"].tolist() == [pytest.approx(0.6)]
    assert found.controls["external_same_draws"].tolist() == [pytest.approx(0.6)]
    assert found.controls["external_independent_draws"].tolist() == [0.0]


def test_agreement_that_external_points_share_is_no_support():
    rng = np.random.default_rng(0)

    def walk(points):  # neighbours share most of their ranking, layers four apart little of it
        return rng.normal(size=(PAIRS, 8, points)).cumsum(axis=1)

    candidates, unseen, apart = walk(300), walk(300), rng.normal(size=(PAIRS, 8, 300))
    result = verdict("memorization-15", evidence.near_and_far(LayerMem(("",) * 8, candidates, unseen), apart))
    assert result.part("near_minus_far").verdict == "supported"
    assert result.verdict == "inconclusive"
    assert "external_same_draws" in result.reason


def test_distances_rank_alike_but_cosine_is_twice_l2():
    l2 = table(np.arange(1, 9) * 0.02)
    tables = {
        "l2": l2,
        "l1": l2,
        "angular": l2,
        "cosine": LayerMem(l2.layers, 2 * l2.scores, l2.control_scores),
    }
    found = evidence.distances(tables)
    assert found.samples["ranking"].tolist() == pytest.approx([1, 1, 1])
    assert found.samples["equal_values"].tolist() == pytest.approx([2, 2, 2])
    result = verdict("memorization-25", found)
    assert result.verdict == "not supported"  # equality fails, the ranking holds
    assert result.part("ranking").verdict == "supported"


def test_gains_of_pairs_are_free_of_an_offset_that_grows_with_depth():
    # pair 1: candidates 1, 3, 4 and external 1, 2, 2: excess 0, 1, 2; pair 2: 2, 2, 2 and 0, 1, 2: 2, 1, 0
    own = np.array([[[1.0], [3.0], [4.0]], [[2.0], [2.0], [2.0]]])
    other = np.array([[[1.0], [2.0], [2.0]], [[0.0], [1.0], [2.0]]])
    found = LayerMem(tuple("abc"), own, other)
    assert found.excess_by_pair.tolist() == [[0, 1, 2], [2, 1, 0]]
    assert found.excess.tolist() == [1, 1, 1]
    assert np.isnan(found.gain_by_pair[:, 0]).all()
    assert found.gain_by_pair[:, 1:].tolist() == [[1, 1], [-1, -1]]


def test_layers_without_external_points_are_refused():
    with pytest.raises(ValueError, match="external points"):
        evidence.depth(LayerMem(("a",), np.zeros((1, 1, 4)), None))


# -------------------------------------------------------------------------------------------------------- trainings


@pytest.mark.parametrize(
    ("effects", "expected"), [((0.12, 0.08, 0.02), "supported"), ((0.1, 0.1, 0.1), "not supported")]
)
def test_strengths(effects, expected):
    own = {name: scores(e, seed=n, n=400) for n, (name, e) in enumerate(zip("abc", effects, strict=True))}
    result = verdict("memorization-6", evidence_variants.strengths(own, own))
    assert (result.verdict == "supported") == (expected == "supported")
    assert failed_controls(result)


def test_widths_are_sorted_and_an_excess_that_does_not_rise_is_inconclusive():
    rising = {16: scores(0.12, seed=1), 4: scores(0.02, seed=2), 8: scores(0.07, seed=3)}
    assert verdict("memorization-7", evidence_variants.widths(rising)).verdict == "supported"
    falling = {4: scores(0.12, seed=1), 8: scores(0.07, seed=2), 16: scores(0.02, seed=3)}
    assert verdict("memorization-7", evidence_variants.widths(falling)).verdict == "inconclusive"


def removal_rows(top):
    """Accuracies by arm, with a little noise per seed."""
    rng = np.random.default_rng(0)
    level = {"top": top, "random_matched": 0.6, "shuffled_top": 0.6, "shuffled_matched": 0.6}
    rows = [
        {"arm": arm, "seed": seed, "value": value + rng.normal(0, 0.005)}
        for arm, value in level.items()
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("top", "expected"), [(0.5, "supported"), (0.6, "inconclusive"), (0.7, "not supported")]
)
def test_removal(top, expected):
    result = verdict("memorization-8", evidence_variants.removal(removal_rows(top)))
    assert result.verdict == expected
    assert failed_controls(result)


def accuracy_rows(after):
    """Accuracies before and after a change, and with permuted labels."""
    rng = np.random.default_rng(1)
    level = {
        ("before", "true"): 0.6,
        ("after", "true"): after,
        ("before", "permuted"): 0.1,
        ("after", "permuted"): 0.1,
    }
    return pd.DataFrame(
        [
            {"arm": arm, "labels": labels, "seed": seed, "value": value + rng.normal(0, 0.005)}
            for (arm, labels), value in level.items()
            for seed in range(3)
        ]
    )


def test_less_memorization_needs_its_control_to_fail():
    before, after = scores(0.1, seed=1), scores(0.0, seed=2)
    names = {"part": "without_privacy", "control_name": "clipping_without_noise"}
    kept = evidence_variants.less_memorization(
        before, after, scores(0.1, seed=3), accuracy_rows(0.5), **names
    )
    assert verdict("memorization-10", kept).verdict == "supported"
    lost = evidence_variants.less_memorization(before, after, after, accuracy_rows(0.5), **names)
    result = verdict("memorization-10", lost)  # clipping alone does it too, so privacy gets no credit
    assert result.verdict != "supported"
    assert not failed_controls(result)


def test_decays_compare_the_smallest_with_the_largest():
    s = {1.0: scores(0.0, seed=1), 1e-4: scores(0.1, seed=2), 0.1: scores(0.05, seed=3)}
    result = verdict("memorization-27", evidence_variants.decays(s, accuracy_rows(0.5)))
    assert result.verdict == "supported"
    assert failed_controls(result)


def test_branches_by_hand_leave_the_first_block_out():
    blocks = [VitBlock(*(f"{k}{part}" for part in "asmb")) for k in range(2)]
    layers = [name for block in blocks for name in block.layers]
    excess = [0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.9, 0.9]  # block 2: attention adds .1, fully connected .5
    clean = LayerMem(tuple(layers), np.tile(np.array(excess)[None, :, None], (2, 1, 4)), np.zeros((2, 8, 8)))
    found = evidence_variants.branches(clean, blocks)
    assert found.samples["fc_minus_attention"].tolist() == pytest.approx([0.4, 0.4])
    assert found.controls["external_points"].tolist() == [0, 0]


def test_profiles_that_agree_and_untrained_networks_that_do_not():
    one, two = (table(np.arange(8) * 0.03, seed=seed) for seed in (0, 1))
    result = verdict("memorization-14", evidence_variants.profiles(one, two, table(np.zeros(8), seed=2)))
    assert result.verdict == "supported"
    assert failed_controls(result)


def test_seeds_share_their_most_memorized_points_or_not():
    rng = np.random.default_rng(0)
    common = rng.normal(size=100)
    external = rng.normal(size=(4, 200))
    same = evidence_variants.seeds(common + rng.normal(0, 0.2, (4, 100)), external)
    assert verdict("memorization-26", same).verdict == "supported"
    other = evidence_variants.seeds(rng.normal(size=(4, 100)), external)
    assert verdict("memorization-26", other).verdict != "supported"


def test_a_further_study_runs_only_when_asked():
    calls = []

    def study():
        calls.append(1)
        return evidence.Evidence({"width": np.ones(3)}, {"shared_points": np.zeros(3)})

    refused = decided("memorization-7", study, run=False)
    assert (refused.verdict, calls) == ("not tested", [])
    assert "further" in refused.reason
    assert decided("memorization-7", study, run=True).verdict == "supported"
    assert calls == [1]
