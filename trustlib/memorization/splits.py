"""Which points each encoder is trained on: leave-block-out splits and removal arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]
Arm = Literal["top", "bottom", "random", "random_matched", "bottom_matched"]


@dataclass(frozen=True)
class LeaveOutSplit:
    """Disjoint blocks of a training pool, and who is trained on which.

    Encoder f sees ``train_f`` = shared + candidate, encoder g sees ``train_g`` = shared + independent.
    Points outside the pool (``external``) are drawn by the caller from the test data.
    """

    n: int
    shared: Indices
    candidate: Indices
    independent: Indices

    @property
    def train_f(self) -> Indices:
        """Points that the scored encoder f is trained on, sorted."""
        return np.sort(np.concatenate([self.shared, self.candidate]))

    @property
    def train_g(self) -> Indices:
        """Points that the reference encoder g is trained on, sorted."""
        return np.sort(np.concatenate([self.shared, self.independent]))

    @property
    def subsets(self) -> dict[str, Indices]:
        """The blocks by their letter: S (shared), C (candidate), I (independent)."""
        return {"S": self.shared, "C": self.candidate, "I": self.independent}


def leave_out_split(
    n: int,
    *,
    shared: float | int | ArrayLike = 0.8,
    candidate: float | int | ArrayLike = 0.1,
    independent: float | int | ArrayLike = 0.1,
    seed: int = 0,
) -> LeaveOutSplit:
    """Split a training pool into shared, candidate and independent points.

    f = train(S_shared + S_candidate), g = train(S_shared + S_independent). The independent block
    only keeps the two training sets equally large.

    Args:
        n: size of the pool, >= 1.
        shared: share of the pool (float in [0, 1]), number of points (int), or the
            indices themselves. Shares are rounded down.
        candidate: the points whose memorization by f is measured; as ``shared``.
        independent: the points that only g sees; as ``shared``.
        seed: of the permutation that shares and numbers are cut from.

    Returns:
        Sorted, disjoint index blocks. What the shares do not cover belongs to no block.

    Raises:
        ValueError: blocks overlap or are larger than the pool, an index is outside it, or a block that
            the score needs (candidate) is empty.

    Example:
        >>> split = leave_out_split(50_000, seed=1)
        >>> len(split.shared), len(split.candidate), len(split.independent)
        (40000, 5000, 5000)
        >>> len(split.train_f) == len(split.train_g)
        True

    Source: Wang et al., ICLR 2024, experimental set-up (80/10/10 % of the pool).
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"leave_out_split needs n >= 1 points in the pool, got n={n!r}")
    requested = {"shared": shared, "candidate": candidate, "independent": independent}
    given = {name: _given_indices(value, int(n), name) for name, value in requested.items()}
    counts = {name: _count(requested[name], int(n), name) for name, block in given.items() if block is None}
    fixed = [block for block in given.values() if block is not None]
    taken = np.concatenate(fixed) if fixed else np.empty(0, np.int64)
    if len(np.unique(taken)) < len(taken):
        raise ValueError("leave_out_split: the given blocks overlap; every point belongs to one block only")
    free = np.setdiff1d(np.random.default_rng(seed).permutation(n), taken, assume_unique=True)
    if sum(counts.values()) > len(free):
        raise ValueError(
            f"leave_out_split: blocks of {counts} points do not fit, {len(free)} of {n} points are left; "
            "make the blocks smaller or the pool larger"
        )
    ends = dict(zip(counts, np.cumsum(list(counts.values())), strict=True))
    blocks = {
        name: np.sort(free[ends[name] - counts[name] : ends[name]]) if block is None else np.sort(block)
        for name, block in given.items()
    }
    if not len(blocks["candidate"]):
        raise ValueError(
            "leave_out_split: candidate is empty, so there is no point whose score could be read"
        )
    return LeaveOutSplit(n=int(n), **blocks)


def _given_indices(value: float | int | ArrayLike, n: int, name: str) -> Indices | None:
    """The block as indices if it was given as such, else None."""
    array = np.asarray(value)
    if array.ndim == 0:
        return None
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"leave_out_split: {name} must be a share, a number or a 1-d array of indices")
    if len(array) and (array.min() < 0 or array.max() >= n):
        raise ValueError(
            f"leave_out_split: {name} holds index {array.min() if array.min() < 0 else array.max()}, "
            f"outside the pool of n={n} points (0 to {n - 1})"
        )
    return array.astype(np.int64)


def _count(value: float | int | ArrayLike, n: int, name: str) -> int:
    """Number of points that a share or a number asks for."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"leave_out_split: {name} must be a number or indices, got {type(value).__name__}")
    if isinstance(value, int | np.integer):
        if value < 0:
            raise ValueError(f"leave_out_split: {name} must be >= 0 points, got {value}")
        return int(value)
    if not 0 <= value <= 1:
        raise ValueError(f"leave_out_split: {name} as a share must be in [0, 1], got {value}")
    return int(float(value) * n + 1e-9)


@dataclass(frozen=True)
class RemovalSet:
    """One arm of a removal experiment: which points leave the pool and which stay."""

    arm: Arm
    k: int
    draw: int
    removed: Indices
    kept: Indices


def removal_sets(
    scores: ArrayLike,
    ks: Sequence[int],
    *,
    labels: ArrayLike | None = None,
    n_random: int = 3,
    seed: int = 0,
) -> list[RemovalSet]:
    """Arms of the removal experiment: the k most memorized points, and what to compare them with.

    Arms: ``top`` and ``bottom`` by score, ``random``; with labels also ``random_matched`` and
    ``bottom_matched``, which remove as many points of every class as ``top`` does, so that a loss of
    accuracy cannot be blamed on class balance.

    Args:
        scores: one score per point, shape (n,), finite. Any score may come in (memorization, loss,
            distance to neighbours): the arms of a stronger baseline are the ``top`` arms of that score.
        ks: numbers of removed points, each in [1, n - 1].
        labels: shape (n,), for the matched arms.
        n_random: draws of each random arm, >= 1.
        seed: of the random draws.

    Returns:
        One ``RemovalSet`` per arm, k and draw. Ties in the scores are broken by the smaller index.

    Raises:
        ValueError: a k outside [1, n - 1], non-finite scores, or labels of another length.

    Example:
        >>> arms = removal_sets([0.1, 0.9, 0.3, 0.2], [1], n_random=1)
        >>> [(arm.arm, arm.removed.tolist()) for arm in arms if arm.arm != "random"]
        [('top', [1]), ('bottom', [0])]

    Source: Wang et al., ICLR 2024, section 4.4; the matched arms are ours.
    """
    values = np.asarray(scores, dtype=np.float64)
    n = len(values)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"removal_sets needs finite scores of shape (n,), got shape {values.shape}")
    if n_random < 1:
        raise ValueError(f"removal_sets needs n_random >= 1, got {n_random}")
    classes = None if labels is None else np.asarray(labels)
    if classes is not None and classes.shape != (n,):
        raise ValueError(f"removal_sets: {n} scores but labels of shape {classes.shape}")
    descending = np.argsort(-values, kind="stable")
    rng = np.random.default_rng(seed)
    arms: list[RemovalSet] = []
    for k in ks:
        if not 1 <= k < n:
            raise ValueError(
                f"removal_sets: k={k} of {n} points cannot be removed; k must be in [1, {n - 1}]"
            )
        arms += _arms(descending, classes, int(k), n_random, rng)
    return arms


def _arms(
    descending: NDArray[np.intp],
    classes: NDArray[np.generic] | None,
    k: int,
    n_random: int,
    rng: np.random.Generator,
) -> list[RemovalSet]:
    """All arms of one k."""
    n, ascending = len(descending), descending[::-1]

    def arm(name: Arm, removed: NDArray[np.intp], draw: int = 0) -> RemovalSet:
        gone = np.sort(removed).astype(np.int64)
        return RemovalSet(name, k, draw, gone, np.setdiff1d(np.arange(n), gone))

    top = descending[:k]
    arms = [arm("top", top), arm("bottom", ascending[:k])]
    arms += [arm("random", rng.permutation(n)[:k], draw) for draw in range(n_random)]
    if classes is not None:
        arms.append(arm("bottom_matched", _match_classes(ascending, classes, top)))
        arms += [
            arm("random_matched", _match_classes(rng.permutation(n), classes, top), draw)
            for draw in range(n_random)
        ]
    return arms


def _match_classes(
    order: NDArray[np.intp], classes: NDArray[np.generic], top: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The first points of an order that hold as many of every class as ``top`` does."""
    names, wanted = np.unique(classes[top], return_counts=True)
    return np.concatenate(
        [order[classes[order] == name][:count] for name, count in zip(names, wanted, strict=True)]
    )
