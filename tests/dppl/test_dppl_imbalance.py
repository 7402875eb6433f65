"""Imbalanced sets and accuracies by class."""

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


def test_sizes_by_hand():
    assert imbalanced_sizes(100, 3, ratio=10).tolist() == [100, 32, 10]  # 100 * 10^(-t/3), t = 0, 1.5, 3
    sizes = imbalanced_sizes(500, 100, ratio=100)
    assert (sizes[0], sizes[-1], sizes.sum()) == (500, 5, 10_899)
    assert imbalanced_sizes(7, 4, ratio=1).tolist() == [7] * 4
    assert imbalanced_sizes(7, 1, ratio=3).tolist() == [7]


@given(st.integers(20, 200), st.integers(2, 12), st.floats(1, 20), st.integers(0, 5))
def test_the_first_rows_of_each_class_are_kept(largest, classes, ratio, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), largest))
    rows = make_imbalanced(labels, ratio=ratio, classes=classes, seed=seed)
    kept = np.bincount(labels[rows], minlength=classes)
    assert sorted(kept) == sorted(imbalanced_sizes(largest, classes, ratio=ratio))
    for c in range(classes):
        assert np.array_equal(rows[labels[rows] == c], np.flatnonzero(labels == c)[: kept[c]])
    assert (np.diff(rows) > 0).all()


def test_rare_classes_stay_rare_at_every_ratio():
    labels = np.tile(np.arange(6), 50)
    counts = [np.bincount(labels[make_imbalanced(labels, ratio=r, classes=6, seed=3)]) for r in (2, 25)]
    assert np.array_equal(np.argsort(counts[0]), np.argsort(counts[1]))


def test_accuracies_by_hand_and_against_sklearn():
    from sklearn.metrics import balanced_accuracy_score

    rng = np.random.default_rng(0)
    truth, guess = rng.integers(4, size=300), rng.integers(4, size=(2, 300))
    by_class = class_accuracies(truth, guess, classes=4)
    for c in range(4):
        assert by_class[0, c] == pytest.approx((guess[0][truth == c] == c).mean())
    theirs = [balanced_accuracy_score(truth, g) for g in guess]
    assert balanced_accuracy(truth, guess, classes=4) == pytest.approx(theirs)


def test_groups_by_hand():
    accuracies, sizes = [0.1, 0.5, 0.9, 0.7, 0.3], [10, 20, 40, 30, 10]
    # a quarter of five classes are two; of equal classes the first counts as smaller
    assert float(group_accuracy(accuracies, sizes, group="minority")) == pytest.approx(0.2)
    assert float(group_accuracy(accuracies, sizes, group="majority")) == pytest.approx(0.8)
    assert float(group_accuracy(accuracies, sizes, group="minority", share=0.2)) == pytest.approx(0.1)


def test_slope_against_polyfit():
    rng = np.random.default_rng(1)
    sizes, accuracies = rng.integers(5, 500, size=8), rng.uniform(size=(3, 8))
    theirs = [np.polyfit(np.log(sizes), a, 1)[0] for a in accuracies]
    assert imbalance_slope(accuracies, sizes) == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: imbalanced_sizes(10, 3, ratio=0.5), "ratio must be"),
        (lambda: imbalanced_sizes(10, 3, ratio=100), "leaves the smallest"),
        (lambda: imbalanced_sizes(0, 3, ratio=1), "largest must be a whole number"),
        (lambda: make_imbalanced([0, 0, 1], ratio=1, classes=2, largest=2), "class 1 has 1 rows"),
        (lambda: make_imbalanced([0, 3], ratio=1, classes=2), "must lie in"),
        (lambda: class_accuracies([0, 1], [0, 1, 1], classes=2), "one per label"),
        (lambda: class_accuracies([0, 0], [0, 1], classes=2), "no test points"),
        (lambda: group_accuracy([0.1], [1], group="middle"), "group must be"),
        (lambda: group_accuracy([0.1], [1], group="minority", share=0), "share must lie"),
        (lambda: imbalance_slope([0.1, 0.2], [5, 5]), "not all equal"),
        (lambda: imbalance_slope([0.1, 0.2], [5]), "must be"),
    ],
)
def test_errors_say_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()
