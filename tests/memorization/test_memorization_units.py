"""UnitMem and ClassMem from activations: hand cases, one pass = whole, shards in any order, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.memorization import (
    ClassMemAccumulator,
    UnitMemAccumulator,
    classmem_from_activations,
    unitmem_from_activations,
)
from trustlib.memorization.medians import RELATIVE_ERROR, MedianSketch


def plain_unitmem(mu, rest):
    scores = []
    for unit in mu.T:
        values = unit.tolist()
        k = values.index(max(values))
        others = values[:k] + values[k + 1 :]
        other = float(np.median(others)) if rest == "median" else sum(others) / len(others)
        scores.append(0.0 if values[k] + other == 0 else (values[k] - other) / (values[k] + other))
    return scores


def activations(n=40, units=7, seed=0):
    mu = np.random.default_rng(seed).exponential(size=(n, units))
    mu[mu < 0.3] = 0
    mu[:, 2] = 0
    return mu


def test_unitmem_by_hand():
    mu = [[3.0, 0.0, 2.0, 0.0], [1.0, 0.0, 2.0, 5.0], [1.0, 0.0, 2.0, 0.0], [1.0, 0.0, 2.0, 0.0]]
    result = unitmem_from_activations(mu)
    # (3 - 1) / (3 + 1); a dead unit; a constant unit; a unit that only point 1 excites
    assert result.scores.tolist() == [0.5, 0, 0, 1]
    assert result.argmax.tolist() == [0, 0, 0, 1]
    assert result.dead.tolist() == [False, True, False, False]
    # without the favourite point: constants and zeros
    assert result.leave_one_out.tolist() == [0, 0, 0, 0]
    assert list(result.to_frame().columns[:2]) == ["scores", "argmax"]


def test_unitmem_of_two_points_and_median_by_hand():
    assert unitmem_from_activations([[3.0], [1.0]]).scores.tolist() == [0.5]
    assert np.isnan(unitmem_from_activations([[3.0], [1.0]]).leave_one_out).all()
    # others 0, 1, 8 of maximum 9: mean 3 gives 6/12, median 1 gives 8/10
    mu = [[9.0], [0.0], [1.0], [8.0]]
    assert unitmem_from_activations(mu).scores.tolist() == [0.5]
    assert unitmem_from_activations(mu, rest="median").scores.tolist() == [0.8]
    # without the 9: maximum 8, others 0 and 1
    assert unitmem_from_activations(mu).leave_one_out[0] == pytest.approx(7.5 / 8.5)


@pytest.mark.parametrize("rest", ["mean", "median"])
def test_unitmem_equals_the_plain_loop(rest):
    mu = activations()
    np.testing.assert_allclose(unitmem_from_activations(mu, rest=rest).scores, plain_unitmem(mu, rest))


@given(
    st.integers(2, 30), st.integers(1, 5), st.integers(0, 10**6),
    st.lists(st.integers(1, 29), max_size=4), st.sampled_from(["mean", "median"]),
)  # fmt: skip
def test_merged_shards_equal_the_whole(n, units, seed, cuts, rest):
    rng = np.random.default_rng(seed)
    mu = rng.integers(0, 4, size=(n, units)).astype(float)  # many ties
    whole = unitmem_from_activations(mu, rest=rest)
    order = rng.permutation(n)
    parts = np.split(order, sorted({cut for cut in cuts if cut < n}))
    shards = [UnitMemAccumulator(rest=rest).update(mu[part], part) for part in parts]
    merged = UnitMemAccumulator(rest=rest)
    for shard in reversed(shards):
        merged.merge(shard)
    result = merged.compute()
    np.testing.assert_array_equal(result.argmax, whole.argmax)
    np.testing.assert_allclose(result.scores, whole.scores, atol=1e-12)
    np.testing.assert_allclose(result.leave_one_out, whole.leave_one_out, atol=1e-12)
    assert result.n == n


def test_merging_leaves_the_other_accumulator_alone():
    mu = activations()
    left = UnitMemAccumulator().update(mu[:20], np.arange(20))
    right = UnitMemAccumulator().update(mu[20:], np.arange(20, 40))
    before = right.compute().scores
    left.merge(right)
    left.update(np.full((1, 7), 100.0), [40])
    np.testing.assert_array_equal(right.compute().scores, before)


@given(st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_unitmem_does_not_see_scale_or_order(scale, seed):
    mu = activations(seed=seed)
    result = unitmem_from_activations(mu)
    np.testing.assert_allclose(unitmem_from_activations(mu * scale).scores, result.scores, atol=1e-12)
    order = np.random.default_rng(seed).permutation(len(mu))
    np.testing.assert_allclose(unitmem_from_activations(mu[order]).scores, result.scores, atol=1e-12)
    assert ((result.scores >= 0) & (result.scores <= 1)).all()


def test_unitmem_grows_with_the_number_of_points_for_unrelated_activations():
    # the maximum of n exponentials is H = 1 + ... + 1/n on average, the others r = (n - H) / (n - 1):
    # (H - r) / (H + r) = .577, .688, .766; the ratio of means is off by < .025, its standard error < .008
    scores = []
    for n in (10, 100, 1000):
        mu = np.random.default_rng(1).exponential(size=(n, 400))
        scores.append(unitmem_from_activations(mu).scores.mean())
    assert scores == pytest.approx([0.577, 0.688, 0.766], abs=0.03)


def test_streaming_median_is_within_its_stated_error():
    mu = np.random.default_rng(2).lognormal(0, 3, size=(3001, 6))
    mu[mu < 0.05] = 0
    exact = unitmem_from_activations(mu, rest="median")
    small = UnitMemAccumulator(rest="median", exact_values=100)
    for start in range(0, len(mu), 500):
        small.update(mu[start : start + 500])
    result = small.compute()
    assert exact.rest_is_exact
    assert not result.rest_is_exact
    np.testing.assert_allclose(result.mu_rest, exact.mu_rest, rtol=RELATIVE_ERROR * 1.001)
    np.testing.assert_allclose(result.scores, exact.scores, atol=0.0025)


def test_sketches_merge_exactly_in_any_mixture_of_kept_and_binned():
    rows = np.random.default_rng(3).exponential(size=(900, 3))
    whole = MedianSketch(exact_values=0)
    whole.update(rows)
    for limits in [(0, 0), (10**6, 0), (0, 10**6), (10**6, 600)]:
        first, second = (MedianSketch(exact_values=limit) for limit in limits)
        first.update(rows[:400])
        second.update(rows[400:])
        second.merge(first)
        assert second.n == 900
        np.testing.assert_array_equal(second.median(drop_largest=1), whole.median(drop_largest=1))
    with pytest.raises(ValueError, match="no value left"):
        whole.median(drop_largest=900)
    with pytest.raises(ValueError, match="up to 1e"):
        whole.update(np.full((1, 3), 1e13))


def test_negative_activations_are_refused_cut_or_marked():
    mu = np.array([[3.0, -1.0], [1.0, 2.0], [1.0, -3.0]])
    with pytest.raises(ValueError, match=r"minimum of -3 in 1 of 2 units.*ReLU"):
        unitmem_from_activations(mu)
    assert unitmem_from_activations(mu, negative="relu").scores.tolist() == [0.5, 1.0]
    marked = unitmem_from_activations(mu, negative="nan")
    assert marked.scores[0] == 0.5
    assert np.isnan(marked.scores[1])
    assert mu[0, 1] == -1.0


def test_unitmem_refuses():
    with pytest.raises(ValueError, match="N >= 2 points, got 1"):
        unitmem_from_activations([[1.0]])
    with pytest.raises(ValueError, match="needs N >= 2 points, got 0"):
        UnitMemAccumulator().compute()
    with pytest.raises(ValueError, match="1 non-finite"):
        unitmem_from_activations([[1.0], [np.nan]])
    with pytest.raises(ValueError, match=r"shape \(B, U\) with U=1"):
        UnitMemAccumulator().update([[1.0]]).update([[1.0, 2.0]])
    with pytest.raises(ValueError, match="index must name"):
        UnitMemAccumulator().update([[1.0]], [1, 2])
    with pytest.raises(ValueError, match="2 points were added twice"):
        UnitMemAccumulator().update([[1.0], [2.0]]).merge(
            UnitMemAccumulator().update([[1.0], [2.0]])
        ).compute()
    with pytest.raises(ValueError, match="same settings"):
        UnitMemAccumulator().merge(UnitMemAccumulator(rest="median"))
    with pytest.raises(ValueError, match="2 units into 1"):
        UnitMemAccumulator().update([[1.0]]).merge(UnitMemAccumulator().update([[1.0, 2.0]]))
    with pytest.raises(ValueError, match="rest must be one of mean, median"):
        UnitMemAccumulator(rest="mode")
    with pytest.raises(ValueError, match="negative must be one of"):
        UnitMemAccumulator(negative="abs")


def test_empty_batches_change_nothing():
    acc = UnitMemAccumulator().update(np.empty((0, 3))).update([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0]])
    assert acc.merge(UnitMemAccumulator()).compute().n == 2


def test_classmem_by_hand():
    # class means of unit 0: a 3, b 1, c 2 -> (3 - 1.5) / (3 + 1.5); unit 1 is dead
    rows = [[2.0, 0.0], [4.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    result = classmem_from_activations(rows, ["a", "a", "b", "c"])
    assert result.scores.tolist() == pytest.approx([1 / 3, 0])
    assert result.argmax[0] == "a"
    assert result.dead.tolist() == [False, True]
    assert result.counts.tolist() == [2, 1, 1]
    assert len(result.to_frame()) == 2


def test_each_class_counts_once_whatever_its_size():
    few = classmem_from_activations([[4.0], [1.0], [1.0]], [0, 1, 2])
    many = classmem_from_activations([[4.0], *[[1.0]] * 50, [1.0]], [0, *[1] * 50, 2])
    assert few.scores.tolist() == pytest.approx(many.scores.tolist())


@given(st.integers(0, 1000), st.integers(1, 29))
def test_classmem_shards_equal_the_whole_and_the_plain_loop(seed, cut):
    rng = np.random.default_rng(seed)
    rows, labels = rng.exponential(size=(30, 4)), rng.permutation(np.arange(30) % 3)
    whole = classmem_from_activations(rows, labels)
    merged = ClassMemAccumulator([0, 1, 2]).update(rows[cut:], labels[cut:])
    merged.merge(ClassMemAccumulator([2, 1, 0]).update(rows[:cut], labels[:cut]))
    np.testing.assert_allclose(merged.compute().scores, whole.scores, atol=1e-12)
    for unit in range(4):
        means = sorted(float(np.mean([rows[i, unit] for i in range(30) if labels[i] == c])) for c in range(3))
        rest = (means[0] + means[1]) / 2
        assert whole.scores[unit] == pytest.approx((means[2] - rest) / (means[2] + rest))


def test_classmem_refuses():
    with pytest.raises(ValueError, match=">= 2 classes, got 1"):
        classmem_from_activations([[1.0], [2.0]], [0, 0])
    with pytest.raises(ValueError, match="must match"):
        classmem_from_activations([[1.0], [2.0]], [0])
    with pytest.raises(ValueError, match=r"classes \[1\] have no point"):
        ClassMemAccumulator([0, 1]).update([[1.0]], [0]).compute()
    with pytest.raises(ValueError, match=r"labels \[7\] are not among"):
        ClassMemAccumulator([0, 1]).update([[1.0]], [7])
    with pytest.raises(ValueError, match="cannot merge"):
        ClassMemAccumulator([0, 1]).merge(ClassMemAccumulator([0, 2]))
    with pytest.raises(ValueError, match="expected 1 units"):
        ClassMemAccumulator([0, 1]).update([[1.0]], [0]).update([[1.0, 2.0]], [1])
