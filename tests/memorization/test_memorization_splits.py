"""Leave-block-out splits and removal arms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.memorization import leave_out_split, removal_sets


@given(st.integers(10, 200), st.integers(0, 10**6))
def test_blocks_are_disjoint_and_trainings_equally_large(n, seed):
    split = leave_out_split(n, seed=seed)
    blocks = np.concatenate(list(split.subsets.values()))
    assert len(np.unique(blocks)) == len(blocks)
    assert len(split.train_f) == len(split.train_g)
    assert set(split.train_f) == set(split.shared) | set(split.candidate)
    assert not set(split.candidate) & set(split.train_g)
    again = leave_out_split(n, seed=seed)
    assert np.array_equal(split.candidate, again.candidate)


def test_shares_numbers_and_indices():
    split = leave_out_split(10, shared=0.5, candidate=[9, 1], independent=2)
    assert split.candidate.tolist() == [1, 9]
    assert (len(split.shared), len(split.independent)) == (5, 2)
    assert not {1, 9} & set(split.shared)
    assert len(leave_out_split(50_000).candidate) == 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0}, "n >= 1"),
        ({"n": 10, "shared": 0.9, "candidate": 0.2}, "do not fit"),
        ({"n": 10, "shared": [1, 2], "candidate": [2, 3]}, "overlap"),
        ({"n": 10, "candidate": [10]}, "holds index 10, outside the pool of n=10"),
        ({"n": 10, "candidate": 0}, "candidate is empty"),
        ({"n": 10, "candidate": -1}, ">= 0 points"),
        ({"n": 10, "candidate": 1.5}, r"share must be in \[0, 1\]"),
        ({"n": 10, "candidate": [0.5]}, "1-d array of indices"),
    ],
)
def test_splits_refuse(arguments, words):
    with pytest.raises(ValueError, match=words):
        leave_out_split(**arguments)
    with pytest.raises(TypeError, match="must be a number or indices"):
        leave_out_split(10, candidate=True)


def test_removal_arms_by_hand():
    scores, labels = [0.9, 0.1, 0.8, 0.2, 0.7, 0.3], [0, 0, 0, 1, 1, 1]
    arms = removal_sets(scores, [3], labels=labels, n_random=2, seed=1)
    by_name = {}
    for arm in arms:
        by_name.setdefault(arm.arm, []).append(arm)
        assert len(arm.removed) == 3
        assert sorted([*arm.removed, *arm.kept]) == list(range(6))
    assert by_name["top"][0].removed.tolist() == [0, 2, 4]
    assert by_name["bottom"][0].removed.tolist() == [1, 3, 5]
    # top holds two of class 0 and one of class 1; the lowest such are 1, 2 (or 0) and 3
    assert by_name["bottom_matched"][0].removed.tolist() == [1, 2, 3]
    assert [len(by_name[name]) for name in ("random", "random_matched")] == [2, 2]
    for arm in by_name["random_matched"]:
        assert sum(index < 3 for index in arm.removed) == 2


def test_removal_sets_refuse():
    with pytest.raises(ValueError, match="k=3 of 3 points"):
        removal_sets([1.0, 2.0, 3.0], [3])
    with pytest.raises(ValueError, match="finite scores"):
        removal_sets([1.0, np.nan], [1])
    with pytest.raises(ValueError, match="labels of shape"):
        removal_sets([1.0, 2.0], [1], labels=[1])
    with pytest.raises(ValueError, match="n_random >= 1"):
        removal_sets([1.0, 2.0], [1], n_random=0)
