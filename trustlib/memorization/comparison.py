"""Comparison of subsets of points: one-sided tests, area under the curve, excess with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.resampling import draw_runs, resampled_means
from trustlib.memorization.significance import auc, holm_correction

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

# (subset expected to score higher, subset expected to score lower)
ORDER = (("C", "S"), ("C", "E"), ("S", "I"), ("E", "I"))
CONTROL = ("S", "E")
TESTS = ("t", "p", "p_holm")


@dataclass(frozen=True)
class Comparison:
    """Two subsets compared: ``upper`` is expected to score higher than ``lower``.

    ``auc`` is the mean over encoder pairs of the area within each pair. ``t``, ``p`` and ``p_holm`` are tests over the
    points of one encoder pair, nan where there are several: each has its own split, so the points of one pair are not
    those of another, and a test over all of them would take pairs for points.
    """

    upper: str
    lower: str
    is_control: bool
    difference: float
    ci_low: float
    ci_high: float
    auc: float
    t: float
    p: float
    p_holm: float
    n_upper: int
    n_lower: int
    runs: int


@dataclass(frozen=True)
class SubsetComparison:
    """All comparisons between subsets of points; ``excess`` is C against E."""

    rows: tuple[Comparison, ...]
    confidence: float

    def __getitem__(self, pair: tuple[str, str]) -> Comparison:
        """The comparison of a pair, for example ``result["C", "E"]``."""
        for row in self.rows:
            if (row.upper, row.lower) == pair:
                return row
        known = ", ".join(f"{row.upper}>{row.lower}" for row in self.rows)
        raise KeyError(f"no comparison {pair[0]}>{pair[1]}; there are {known}")

    @property
    def excess(self) -> Comparison:
        """Candidates against points that neither encoder saw: memorization beyond encoder-wide offsets."""
        return self["C", "E"]

    def to_frame(self) -> pd.DataFrame:
        """One row per comparison; without the tests where several encoder pairs leave them empty."""
        import pandas as pd

        frame = pd.DataFrame([vars(row) for row in self.rows])
        return frame.drop(columns=list(TESTS)) if frame["t"].isna().all() else frame


def compare_subsets(
    subsets: Mapping[str, ArrayLike], *, n_boot: int = 2000, confidence: float = 0.95, seed: int = 0
) -> SubsetComparison:
    """Tests whether candidates score higher, and independent points lower, than points treated alike.

    Per comparison: AUC = P(upper > lower) + P(tie) / 2 of a random point of each subset *of the same encoder pair*,
    averaged over encoder pairs, and the difference of means with a hierarchical bootstrap interval over encoder
    pairs, then points. With one encoder pair also a one-sided Welch t-test over points (Holm over the tested
    comparisons); the control S against E is two-sided and outside the Holm family: no effect is expected there.

    Args:
        subsets: scores by letter, among "S" shared, "C" candidate, "I" independent, "E" external; each of
            shape (n,) or (runs, n) with one row per encoder pair, n >= 2. C and one other are required. A column
            need not be the same point in every row: every pair may have a split of its own.
        n_boot: bootstrap replicates, >= 100.
        confidence: of the intervals, in (0, 1).
        seed: of the bootstrap.

    Returns:
        Comparisons C>S, C>E, S>I, E>I (those whose subsets are there) and the control S, E. With one encoder
        pair a small p says nothing about another training run, and the interval covers points only (``runs`` = 1);
        with several, ``t``, ``p`` and ``p_holm`` are nan: call the function pair by pair for tests.

    Raises:
        ValueError: unknown letters, fewer than two points, non-finite scores, unequal numbers of runs.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> result = compare_subsets({"C": rng.normal(1, 1, 200), "E": rng.normal(0, 1, 200)})
        >>> bool(result.excess.p_holm < 0.01), bool(result.excess.ci_low > 0)
        (True, True)
        >>> round(compare_subsets({"C": [[1.0, 3.0], [5.0, 7.0]], "E": [[2.0, 0.0], [6.0, 4.0]]}).excess.auc, 2)
        0.75

    Source: Wang et al., ICLR 2024 (t-tests between the four subsets; there with pooled variance and
    without correction). Welch, Holm, AUC and intervals are ours.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence}")
    if n_boot < 100:
        raise ValueError(f"n_boot must be >= 100 for a percentile interval, got {n_boot}")
    scores = _checked(subsets)
    tested = [pair for pair in ORDER if set(pair) <= set(scores)]
    pairs = tested + ([CONTROL] if set(CONTROL) <= set(scores) else [])
    if not pairs:
        raise ValueError(f"no two comparable subsets in {sorted(scores)}; give C and one of S and E")
    rows = []
    for (upper, lower), (t, p, adjusted) in zip(pairs, _tests(scores, pairs, len(tested)), strict=True):
        a, b = scores[upper], scores[lower]
        low, high = bootstrap_difference(a, b, n_boot=n_boot, confidence=confidence, seed=seed)
        row = Comparison(
            upper=upper,
            lower=lower,
            is_control=(upper, lower) == CONTROL,
            difference=float(a.mean() - b.mean()),
            ci_low=low,
            ci_high=high,
            auc=float(np.mean([auc(one, other) for one, other in zip(a, b, strict=True)])),
            t=t,
            p=p,
            p_holm=adjusted,
            n_upper=a.shape[1],
            n_lower=b.shape[1],
            runs=len(a),
        )
        rows.append(row)
    return SubsetComparison(tuple(rows), confidence)


def _checked(subsets: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    """Scores as (runs, n) float64."""
    unknown = set(subsets) - set("SCIE")
    if unknown:
        raise ValueError(f"unknown subsets {sorted(unknown)}; the letters are S, C, I and E")
    scores = {name: np.atleast_2d(np.asarray(value, dtype=np.float64)) for name, value in subsets.items()}
    for name, value in scores.items():
        if value.ndim != 2 or value.shape[1] < 2:
            raise ValueError(f"subset {name} needs shape (n,) or (runs, n) with n >= 2, got {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"subset {name} holds {int((~np.isfinite(value)).sum())} non-finite scores")
    runs = {name: len(value) for name, value in scores.items()}
    if len(set(runs.values())) > 1:
        raise ValueError(f"subsets must come from the same encoder pairs, got runs {runs}")
    return scores


def _tests(
    scores: Mapping[str, Floats], pairs: Sequence[tuple[str, str]], family: int
) -> list[tuple[float, float, float]]:
    """t, p and corrected p of every comparison, the first ``family`` of them corrected; nan for several runs."""
    if len(next(iter(scores.values()))) > 1:
        return [(float("nan"),) * 3 for _ in pairs]
    found = [_welch(scores[a][0], scores[b][0], two_sided=(a, b) == CONTROL) for a, b in pairs]
    p = [value for _, value in found]
    adjusted = [*holm_correction(p[:family]).tolist(), *p[family:]]
    return [(t, value, holm) for (t, value), holm in zip(found, adjusted, strict=True)]


def _welch(x: Floats, y: Floats, *, two_sided: bool) -> tuple[float, float]:
    """Welch's t and p over points; equal constants give t = 0."""
    from scipy import stats

    if np.ptp(x) == 0 and np.ptp(y) == 0:
        gap = float(x[0] - y[0])
        t = 0.0 if gap == 0 else float(np.copysign(np.inf, gap))
        return t, (float(gap == 0) if two_sided else 0.5 - 0.5 * float(np.sign(gap)))
    result = stats.ttest_ind(x, y, equal_var=False, alternative="two-sided" if two_sided else "greater")
    return float(result.statistic), float(result.pvalue)


def bootstrap_difference(
    a: ArrayLike, b: ArrayLike, *, n_boot: int = 2000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of mean(a) - mean(b) from a hierarchical bootstrap: encoder pairs, then points.

    Every replicate draws encoder pairs with replacement (the same for both subsets) and, within each drawn
    pair, points of each subset with replacement. With one pair only points are drawn. Resampling few pairs
    understates how much they vary: where three pairs differ more than points do, a 95 % interval lies beside the
    truth in up to one case in four, in place of one in twenty.

    Args:
        a: scores, shape (n_a,) or (runs, n_a).
        b: scores, shape (n_b,) or (runs, n_b), of the same encoder pairs.
        n_boot: replicates.
        confidence: in (0, 1).
        seed: of the draws.

    Returns:
        Lower and upper end, in the unit of the scores.

    Raises:
        ValueError: unequal numbers of runs.

    Example:
        >>> low, high = bootstrap_difference([1.0, 1.0, 1.0], [0.0, 0.0])
        >>> low, high
        (1.0, 1.0)

    Source: ours; the papers report mean and standard deviation over three seeds.
    """
    x = np.atleast_2d(np.asarray(a, dtype=np.float64))
    y = np.atleast_2d(np.asarray(b, dtype=np.float64))
    if len(x) != len(y):
        raise ValueError(f"both subsets must come from the same encoder pairs, got {len(x)} and {len(y)}")
    rng = np.random.default_rng(seed)
    drawn = draw_runs(len(x), n_boot, rng)
    gaps = resampled_means(x[:, None], drawn, rng) - resampled_means(y[:, None], drawn, rng)
    tail = (1 - confidence) / 2
    low, high = np.quantile(gaps, [tail, 1 - tail])
    return float(low), float(high)


def subset_scores(
    scores: ArrayLike, subsets: Mapping[str, Sequence[int] | NDArray[np.int64]]
) -> dict[str, Floats]:
    """Cuts scores of a pooled data set into named subsets, refusing overlaps and indices outside the pool.

    Args:
        scores: shape (n,) or (runs, n).
        subsets: integer indices by name.

    Returns:
        Scores by name, last axis cut.

    Raises:
        ValueError: a point belongs to two subsets, or an index is outside [0, n).

    Example:
        >>> parts = subset_scores([1.0, 2.0, 3.0], {"C": [2], "S": [0]})
        >>> parts["C"], parts["S"]
        (array([3.]), array([1.]))

    Source: ours.
    """
    values = np.asarray(scores, dtype=np.float64)
    n = values.shape[-1]
    parts = {name: np.asarray(index, dtype=np.int64) for name, index in subsets.items()}
    for name, index in parts.items():
        if index.size and (index.min() < 0 or index.max() >= n):
            raise ValueError(f"subset {name} holds an index outside the pool of {n} points (0 to {n - 1})")
    pooled = np.concatenate(list(parts.values())) if parts else np.empty(0)
    if len(np.unique(pooled)) < len(pooled):
        raise ValueError("subsets overlap: a point is counted as seen and unseen at once")
    return {name: values[..., index] for name, index in parts.items()}
