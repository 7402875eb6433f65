"""Scores as membership inference: how well they tell training points apart, and what that says about epsilon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.significance import auc

if TYPE_CHECKING:
    from trustlib.privacy import AuditResult


@dataclass(frozen=True)
class MembershipInference:
    """How well a score tells members from non-members.

    ``auc`` = P(member scores higher), 0.5 for guessing; ``tpr`` the share of members that score above a
    threshold which at most ``fpr`` of the non-members exceed, with its Clopper-Pearson interval
    (the threshold taken as given); ``threshold`` itself.
    """

    auc: float
    fpr: float
    tpr: float
    tpr_low: float
    tpr_high: float
    threshold: float
    n_members: int
    n_nonmembers: int


def membership_inference(
    members: ArrayLike, nonmembers: ArrayLike, *, fpr: float = 0.01, confidence: float = 0.95
) -> MembershipInference:
    """A score as an attack: is a point in the training set of the encoder?

    Natural scores are -L_A(f, x), which needs the encoder alone, and SSLMem m(x), which also needs a reference.

    Args:
        members: scores of training points, shape (a,); higher should mean member.
        nonmembers: scores of points of the same distribution that were not trained on, shape (b,).
        fpr: false positive rate at which the true positive rate is read, in (0, 1).
        confidence: of the interval.

    Returns:
        Area under the curve and true positive rate.

    Raises:
        ValueError: empty or non-finite scores, fpr outside (0, 1), or fewer than 1 / fpr non-members, with which
            that rate cannot be told from 0.

    Example:
        >>> result = membership_inference([3.0, 4.0, 0.5, 5.0], [0.0, 1.0, 2.0, 2.5], fpr=0.25)
        >>> result.tpr, result.threshold
        (0.75, 2.0)

    Source: Carlini et al., 2022 (true positive rate at a low false positive rate).
    """
    from trustlib.privacy import clopper_pearson

    a, b = _finite(members, "members"), _finite(nonmembers, "nonmembers")
    if not 0 < fpr < 1:
        raise ValueError(f"fpr must be in (0, 1), got {fpr}")
    allowed = int(fpr * len(b) + 1e-9)
    if allowed < 1:
        raise ValueError(
            f"{len(b)} non-members cannot show a false positive rate of {fpr}; give at least {int(np.ceil(1 / fpr))} "
            "or read the curve at a larger fpr"
        )
    threshold = float(np.sort(b)[len(b) - allowed - 1])
    hits = int((a > threshold).sum())
    low, high = clopper_pearson(hits, len(a), confidence=confidence)
    return MembershipInference(auc(a, b), fpr, hits / len(a), low, high, threshold, len(a), len(b))


def membership_epsilon(
    members: ArrayLike, nonmembers: ArrayLike, *, delta: float, confidence: float, rng: np.random.Generator
) -> AuditResult:
    """A lower confidence bound on the epsilon of the training, from membership scores.

    epsilon >= log((p_low - delta) / q_high) for the event "score beyond a threshold", with Clopper-Pearson
    bounds; the threshold is chosen on a random half of the scores and the bound computed on the other half.

    The interval takes scores as independent draws. They are if each comes from an encoder trained anew with or
    without the point; many points of *one* encoder share its randomness, and the bound is then a diagnosis and
    not a proof. A bound of 0 does not show privacy.

    Args:
        members: scores of points that were trained on, shape (a,), a >= 200.
        nonmembers: scores of points that were not, shape (b,), b >= 200. The larger side is cut at random.
        delta: of the guarantee to be audited, in [0, 1).
        confidence: of the bound, in (0, 1).
        rng: splits the scores.

    Returns:
        The audit, its ``lower_bound`` to be compared with what the training promises.

    Raises:
        ValueError: fewer than 200 scores on a side, or non-finite scores.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = membership_epsilon(
        ...     rng.normal(2, 1, 1000), rng.normal(0, 1, 1000), delta=0.0, confidence=0.95, rng=rng
        ... )
        >>> found.lower_bound > 1
        True

    Source: Jagielski et al. 2020, for the scores of Wang et al., ICLR 2024.
    """
    from trustlib.privacy import audit_epsilon

    a, b = _finite(members, "members"), _finite(nonmembers, "nonmembers")
    half = min(len(a), len(b)) // 2
    if half < 100:
        raise ValueError(
            f"membership_epsilon needs 200 scores per side, half to choose the event and half to bound it; got "
            f"{len(a)} and {len(b)}. Pool the points of several encoder pairs"
        )
    halves = {
        name: iter(np.split(rng.permutation(side)[: 2 * half], 2)) for name, side in (("in", a), ("out", b))
    }

    def next_half(name: object, _n: int, _rng: np.random.Generator) -> NDArray[np.float64]:
        return next(halves[str(name)])

    return audit_epsilon(next_half, "in", "out", n=half, confidence=confidence, rng=rng, delta=delta)


def _finite(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    """Scores as a finite, non-empty vector."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite scores of shape (n,), n >= 1, got shape {values.shape}")
    return values
