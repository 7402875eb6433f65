"""Imbalanced subsets and accuracies by class: numbers that can be checked on paper."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.dppl import (
    balanced_accuracy,
    class_accuracies,
    group_accuracy,
    imbalance_slope,
    imbalanced_sizes,
    make_imbalanced,
)


def test_sizes_of_three_classes():
    # steps 0, 1.5, 3 of 3: 100, 100 * 10**-0.5 = 31.6, 100 / 10
    assert imbalanced_sizes(100, 3, ratio=10).tolist() == [100, 32, 10]


def test_sizes_of_a_hundred_classes():
    sizes = imbalanced_sizes(500, 100, ratio=100)
    assert (sizes[0], sizes[-1], int(sizes.sum())) == (500, 5, 10_899)


@given(st.integers(1, 1000), st.integers(1, 40), st.floats(1, 1000, allow_nan=False, allow_infinity=False))
def test_sizes_fall_from_largest_to_largest_over_ratio(largest, classes, ratio):
    if classes > 1 and round(largest / ratio) < 1:
        with pytest.raises(ValueError, match="empty"):
            imbalanced_sizes(largest, classes, ratio=ratio)
        return
    sizes = imbalanced_sizes(largest, classes, ratio=ratio)
    assert sizes[0] == largest
    assert (np.diff(sizes) <= 0).all()
    if classes > 1:
        assert abs(sizes[-1] - largest / ratio) <= 0.5 + 1e-9
    if ratio == 1:
        assert (sizes == largest).all()


def test_the_first_rows_of_each_class_are_kept():
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=400)
    rows = make_imbalanced(labels, ratio=8, classes=4, largest=40)
    kept = np.bincount(labels[rows], minlength=4)
    assert sorted(kept.tolist(), reverse=True) == imbalanced_sizes(40, 4, ratio=8).tolist()
    for c in range(4):  # a plain loop
        assert rows[labels[rows] == c].tolist() == np.flatnonzero(labels == c)[: kept[c]].tolist()


def test_a_class_stays_small_at_every_ratio_and_seeds_deal_anew():
    labels = np.repeat(np.arange(6), 50)

    def sizes(ratio, seed):
        rows = make_imbalanced(labels, ratio=ratio, classes=6, largest=50, seed=seed)
        return np.bincount(labels[rows], minlength=6)

    assert np.argsort(sizes(5, 1)).tolist() == np.argsort(sizes(50, 1)).tolist()
    assert sizes(1, 1).tolist() == [50] * 6
    assert len({tuple(sizes(50, seed)) for seed in range(8)}) > 1


def test_accuracies_on_paper():
    labels, predicted = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 2]
    # 2 of 3, 1 of 2, 1 of 1
    assert class_accuracies(labels, predicted, classes=3) == pytest.approx([2 / 3, 1 / 2, 1])
    assert balanced_accuracy(labels, predicted, classes=3) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_accuracies_keep_leading_axes_and_agree_with_sklearn():
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(1)
    labels = np.concatenate([np.arange(5), rng.integers(5, size=60)])
    predicted = rng.integers(5, size=(3, 2, 65))
    found = balanced_accuracy(labels, predicted, classes=5)
    expected = [[balanced_accuracy_score(labels, guess) for guess in row] for row in predicted]
    assert found == pytest.approx(np.array(expected))


def test_groups_are_quarters_rounded_up():
    accuracies, sizes = np.arange(10) / 10, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    # ceil(10 / 4) = 3 classes: the last three are the smallest, the first three the largest
    assert group_accuracy(accuracies, sizes, group="minority") == pytest.approx(0.8)
    assert group_accuracy(accuracies, sizes, group="majority") == pytest.approx(0.1)
    assert group_accuracy(accuracies, sizes, group="minority", share=1.0) == pytest.approx(0.45)


def test_slope_is_that_of_least_squares_and_vanishes_for_constant_accuracy():
    rng = np.random.default_rng(2)
    sizes, accuracies = rng.integers(1, 500, size=12), rng.random((4, 12))
    expected = [np.polyfit(np.log(sizes), row, 1)[0] for row in accuracies]
    assert imbalance_slope(accuracies, sizes) == pytest.approx(expected)
    assert imbalance_slope(np.full(12, 0.3), sizes) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: imbalanced_sizes(0, 3, ratio=2), "largest must be a whole number >= 1, got 0"),
        (lambda: imbalanced_sizes(10, 3, ratio=0.5), "ratio must be a finite number >= 1"),
        (lambda: imbalanced_sizes(10, 3, ratio=100), "leaves the smallest of 3 classes empty"),
        (lambda: make_imbalanced([0, 0, 1], ratio=1, classes=2, largest=2), "class 1 has 1 rows"),
        (lambda: make_imbalanced([0, 2], ratio=1, classes=2), r"lie in \[0, 2\), got 2 in row 1"),
        (lambda: make_imbalanced([0.0, 1.0], ratio=1, classes=2), "labels must be whole numbers"),
        (lambda: class_accuracies([0, 0], [0, 0], classes=2), "class 1 has no test points"),
        (lambda: class_accuracies([0, 1], [0], classes=2), "one per label"),
        (lambda: group_accuracy([0.1], [1], group="rare"), "group must be"),
        (lambda: group_accuracy([0.1], [1], group="minority", share=0), "share must lie"),
        (lambda: group_accuracy([0.1, 0.2], [1], group="minority"), r"sizes \(C,\)"),
        (lambda: imbalance_slope([0.1, 0.2], [3, 3]), "not all equal"),
    ],
)
def test_errors_say_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
