"""UnitMem from mean activations: one-pass, mergeable accumulation and the score per unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.medians import MedianSketch

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Rest = Literal["mean", "median"]
Negative = Literal["raise", "relu", "nan"]


@dataclass(frozen=True)
class UnitMem:
    """UnitMem of the U units of one layer over N points.

    ``scores`` (U,) in [0, 1]; ``argmax`` (U,) the point that excites the unit most; ``mu_max`` and
    ``mu_rest`` (U,) its activation and that of the others; ``dead`` (U,) units that never fire, score 0;
    ``leave_one_out`` (U,) the score once the argmax point is removed (nan for N = 2): a unit that keeps its
    score without its favourite point is selective, not devoted to that point; ``n`` = N; ``rest`` and
    ``rest_is_exact`` say how the others were summarised.
    """

    scores: Floats
    argmax: NDArray[np.int64]
    mu_max: Floats
    mu_rest: Floats
    dead: NDArray[np.bool_]
    leave_one_out: Floats
    n: int
    rest: Rest
    rest_is_exact: bool

    def to_frame(self) -> pd.DataFrame:
        """One row per unit."""
        import pandas as pd

        names = ("scores", "argmax", "mu_max", "mu_rest", "dead", "leave_one_out")
        return pd.DataFrame({name: getattr(self, name) for name in names}).rename_axis("unit")


def unitmem_from_activations(mu: ArrayLike, *, rest: Rest = "mean", negative: Negative = "raise") -> UnitMem:
    """How exclusively one data point excites each unit.

    UnitMem(u) = (mu_max - mu_rest) / (mu_max + mu_rest), with mu_max the largest mean activation of unit u
    over the N points and mu_rest the mean (or median) over the other N - 1.

    Args:
        mu: mean activation over augmentations, shape (N, U), N >= 2, finite.
        rest: "mean" as in the equation, or "median" as in the authors' appendix and script.
        negative: what to do with negative activations, for which the score leaves [0, 1]: refuse, score
            max(mu, 0), or give the affected units nan.

    Returns:
        Scores in [0, 1]; 0 for a unit that never fires. Unchanged by scaling a unit, not by shifting it. The
        score *grows with N* for unrelated activations, because mu_max is a maximum: compare at equal N.

    Raises:
        ValueError: N < 2, non-finite values, or a negative value under negative="raise".

    Example:
        >>> unitmem_from_activations([[3.0], [1.0], [1.0], [1.0]]).scores
        array([0.5])

    Source: Wang et al., NeurIPS 2024, eq. 5 to 7; the appendix uses the median.
    """
    return UnitMemAccumulator(rest=rest, negative=negative, exact_values=np.size(mu)).update(mu).compute()


class UnitMemAccumulator:
    """One pass over mean activations in any order and any split; memory O(U), not O(N U).

    Per unit it keeps sum, two largest values and the argmax. Batches, their order and merging shards change
    nothing but the last bits of the sum; ties of the maximum go to the smaller point index. With
    rest="median" the rows themselves are kept up to ``exact_values`` numbers (exact median), then folded into
    a mergeable logarithmic histogram whose median is within 0.5 %, so that UnitMem is within 0.0025.

    Args:
        rest: see ``unitmem_from_activations``.
        negative: see ``unitmem_from_activations``.
        exact_values: numbers (rows times units) kept for an exact median.

    Example:
        >>> left = UnitMemAccumulator().update([[3.0], [1.0]], index=[0, 1])
        >>> right = UnitMemAccumulator().update([[1.0], [1.0]], index=[2, 3])
        >>> left.merge(right).compute().scores
        array([0.5])

    Source: Wang et al., NeurIPS 2024, eq. 7; the one-pass form is ours.
    """

    def __init__(
        self, *, rest: Rest = "mean", negative: Negative = "raise", exact_values: int = 10_000_000
    ) -> None:
        if rest not in get_args(Rest):
            raise ValueError(f"rest must be one of {', '.join(get_args(Rest))}; got {rest!r}")
        if negative not in get_args(Negative):
            raise ValueError(f"negative must be one of {', '.join(get_args(Negative))}; got {negative!r}")
        self.rest: Rest = rest
        self.negative: Negative = negative
        self.n = 0
        self._indices: list[NDArray[np.int64]] = []
        self._sum = self._first = self._second = np.empty(0)
        self._argmax = np.empty(0, np.int64)
        self._below = np.empty(0, bool)
        self._median = MedianSketch(exact_values=exact_values) if rest == "median" else None

    def update(self, mu: ArrayLike, index: ArrayLike | None = None) -> UnitMemAccumulator:
        """Adds points.

        Args:
            mu: mean activation over augmentations, shape (B, U).
            index: identity of each point, integer, shape (B,). Default: number of points seen so far, which
                two shards share: give indices before merging.

        Returns:
            Itself.

        Raises:
            ValueError: wrong shape, non-finite values, or negative values under negative="raise".
        """
        rows = np.asarray(mu)
        if rows.ndim != 2 or (self.n and rows.shape[1] != len(self._sum)):
            units = f" with U={len(self._sum)} as before" if self.n else ""
            raise ValueError(f"mu must have shape (B, U){units}, got {rows.shape}")
        points = np.arange(self.n, self.n + len(rows)) if index is None else np.asarray(index, dtype=np.int64)
        if points.shape != (len(rows),):
            raise ValueError(f"index must name each of the {len(rows)} points, got shape {points.shape}")
        if not len(rows):
            return self
        rows, below = accept_activations(rows, self.negative)
        part = UnitMemAccumulator(rest=self.rest, negative=self.negative)
        part._fill(rows, points, below)
        return self._absorb(part, rows)

    def _fill(self, rows: NDArray[np.floating], points: NDArray[np.int64], below: NDArray[np.bool_]) -> None:
        """Summary of one batch, shapes (U,)."""
        if len(points) > 1 and (np.diff(points) < 0).any():
            order = np.argsort(points, kind="stable")
            rows, points = rows[order], points[order]
        top = rows.argmax(axis=0)  # the first, so the smallest index among ties
        self.n, self._indices, self._below = len(rows), [points], below
        self._sum = rows.sum(axis=0, dtype=np.float64)
        self._argmax = points[top]
        self._first = np.take_along_axis(rows, top[None], axis=0)[0].astype(np.float64)
        second = np.partition(rows, -2, axis=0)[-2] if len(rows) > 1 else np.full(rows.shape[1], -np.inf)
        self._second = second.astype(np.float64)

    def merge(self, other: UnitMemAccumulator) -> UnitMemAccumulator:
        """Adds the points of another accumulator, which stays as it is.

        Args:
            other: of the same settings and the same units, over other points.

        Returns:
            Itself.

        Raises:
            ValueError: settings or numbers of units differ.
        """
        if (self.rest, self.negative) != (other.rest, other.negative):
            raise ValueError(
                f"cannot merge rest={other.rest!r}, negative={other.negative!r} into rest={self.rest!r}, "
                f"negative={self.negative!r}; use the same settings for all shards"
            )
        if self.n and other.n and len(self._sum) != len(other._sum):
            raise ValueError(f"cannot merge {len(other._sum)} units into {len(self._sum)}")
        return self._absorb(other, None) if other.n else self

    def _absorb(self, other: UnitMemAccumulator, rows: NDArray[np.floating] | None) -> UnitMemAccumulator:
        """Merge of checked summaries; ``rows`` are the batch behind ``other`` if it is one."""
        if self._median is not None:
            if rows is not None:
                self._median.update(rows)
            elif other._median is not None:
                self._median.merge(other._median)
        if not self.n:
            self._sum, self._first, self._second = (
                other._sum.copy(),
                other._first.copy(),
                other._second.copy(),
            )
            self._argmax, self._below = other._argmax.copy(), other._below.copy()
        else:
            wins = (other._first > self._first) | (
                (other._first == self._first) & (other._argmax < self._argmax)
            )
            loser = np.where(wins, self._first, other._first)
            winner_second = np.where(wins, other._second, self._second)
            self._second = np.maximum(loser, winner_second)
            self._argmax = np.where(wins, other._argmax, self._argmax)
            self._first = np.where(wins, other._first, self._first)
            self._sum = self._sum + other._sum
            self._below = self._below | other._below
        self.n += other.n
        self._indices += other._indices
        return self

    def compute(self) -> UnitMem:
        """The scores of all points so far.

        Returns:
            UnitMem per unit.

        Raises:
            ValueError: fewer than two points, or a point that was added twice.
        """
        if self.n < 2:
            raise ValueError(
                f"UnitMem compares a point with the others and needs N >= 2 points, got {self.n}"
            )
        twice = self.n - len(np.unique(np.concatenate(self._indices)))
        if twice:
            raise ValueError(f"{twice} points were added twice; give each shard its own index=")
        if self._median is None:
            rest = (self._sum - self._first) / (self.n - 1)
            after = (self._sum - self._first - self._second) / (self.n - 2) if self.n > 2 else None
        else:
            rest = self._median.median(drop_largest=1)
            after = self._median.median(drop_largest=2) if self.n > 2 else None
        rest = np.clip(rest, 0, None)  # the difference of sums may round below 0
        second = (
            np.full_like(rest, np.nan) if after is None else quotient(self._second, np.clip(after, 0, None))
        )
        scores = np.where(self._below, np.nan, quotient(self._first, rest))
        exact = self._median is None or self._median.is_exact
        return UnitMem(
            scores=scores,
            argmax=self._argmax.copy(),
            mu_max=self._first.copy(),
            mu_rest=rest,
            dead=(self._first == 0) & ~self._below,
            leave_one_out=np.where(self._below, np.nan, second),
            n=self.n,
            rest=self.rest,
            rest_is_exact=exact,
        )


def quotient(largest: Floats, rest: Floats) -> Floats:
    """(largest - rest) / (largest + rest), 0 where both are 0; shape (U,)."""
    total = largest + rest
    return np.divide(largest - rest, total, out=np.zeros_like(total), where=total != 0)


def accept_activations(
    rows: NDArray[np.floating], negative: Negative
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Activations ready to be scored, and which units hold negative ones; shapes (B, U) and (U,)."""
    low = rows.min(axis=0)
    if not (np.isfinite(low).all() and np.isfinite(rows.max(axis=0)).all()):
        raise ValueError(f"activations hold {int((~np.isfinite(rows)).sum())} non-finite values")
    below = low < 0
    if negative == "relu":
        return np.maximum(rows, 0), np.zeros_like(below)
    if negative == "raise" and below.any():
        raise ValueError(
            f"UnitMem needs activations >= 0, got a minimum of {low.min():.4g} in {int(below.sum())} of "
            f"{len(below)} units. The ratio is not bounded for negative values. Tap the layer after its "
            "ReLU, or pass negative='relu' (score max(activation, 0)) or negative='nan', and say so"
        )
    return rows, below
