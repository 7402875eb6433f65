"""The privacy loss of a release, person by person: exact on given tables, searched on small ones, and sampled."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.calibration import Bounds, noise_rate, personal_weights, ridge_sensitivity
from trustlib.pdp_op.checks import as_array, domain, levels
from trustlib.privacy import audit_epsilon, round_to_grid, sample_l2_laplace

if TYPE_CHECKING:
    import pandas as pd

# What `corner_losses` and `audit_ridge` can be made to run: the mechanism itself, or one of these planted faults.
Fault = Literal[
    "none",
    "uniform_weights",
    "coordinate_laplace",
    "labels_out_of_range",
    "features_out_of_range",
    "quartered_sensitivity",
    "undersized_noise",
]


@dataclass(frozen=True)
class CornerLosses:
    """Exact worst privacy losses of a small setting, over all exchanges of one record by a corner of the domain.

    Args:
        loss: largest log-density ratio for each person, shape (n,), in nats.
        epsilon: their levels, shape (n,).
        tables: how many pairs of tables were compared.
    """

    loss: NDArray[np.float64]
    epsilon: NDArray[np.float64]
    tables: int

    @property
    def ratio(self) -> float:
        """Largest loss divided by the level; the guarantee says at most 1."""
        return float(np.max(self.loss / self.epsilon))


def privacy_loss(theta: ArrayLike, other: ArrayLike, rate: float, *, noise: str = "spherical") -> float:
    """The exact privacy loss between two releases theta + b and other + b: the supremum of the log-density ratio.

    eta * ||theta - other||_2 for spherical noise, attained far out on the line through both. For independent Laplace
    noise of scale 1/eta it is eta * ||theta - other||_1.

    Args:
        theta: minimiser on one table, shape (d,).
        other: minimiser on a neighbour, shape (d,).
        rate: eta > 0, the same for both.
        noise: "spherical" or "coordinate".

    Returns:
        Loss >= 0, in nats.

    Raises:
        ValueError: an unknown noise.

    Example:
        >>> privacy_loss([0.0, 0.0], [3.0, 4.0], 2.0)
        10.0

    Source: Acharya et al. 2024; the supremum is this book's.
    """
    if noise not in ("spherical", "coordinate"):
        raise ValueError(f'noise must be "spherical" or "coordinate", got {noise!r}.')
    difference = np.asarray(theta, float) - np.asarray(other, float)
    return float(rate * np.linalg.norm(difference, ord=2 if noise == "spherical" else 1))


def corner_losses(
    dim: int, epsilon: ArrayLike, lam: float, *, bounds: Bounds, fault: Fault = "none"
) -> CornerLosses:
    """Search all tables of corners (features 0 or 1, labels -1 or 1) for the worst exchange of one record.

    Args:
        dim: number of features, 1 to 3.
        epsilon: levels of at most 5 people, shape (n,), > 0.
        lam: lambda > 0.
        bounds: "paper" (R = sqrt(d), Y = 1) or "tight" (the same domain, sharp norm bound).
        fault: a planted fault, for controls; "none" for the mechanism itself.

    Returns:
        The worst loss of every person.

    Raises:
        ValueError: a setting too large to enumerate (more than 200 000 tables), or an unknown fault.

    Example:
        >>> corner_losses(1, [0.5, 1.0], 1.0, bounds="paper").ratio <= 1
        True

    Source: this book; exhaustive check of the guarantee of Acharya et al. 2024.
    """
    level = levels(epsilon)
    if dim < 1:
        raise ValueError(f"dim must be at least 1 feature, got {dim}.")
    n = len(level)
    label = 5.0 if fault == "labels_out_of_range" else 1.0
    feature = 3.0 if fault == "features_out_of_range" else 1.0
    corners = [
        np.array([*x, y]) for x in itertools.product([0.0, feature], repeat=dim) for y in (-label, label)
    ]
    if len(corners) ** n > 200_000:
        raise ValueError(
            f"{len(corners)}^{n} tables are too many to enumerate; take fewer people or features."
        )
    records = np.array(corners)
    weight = np.full(n, 1 / n) if fault == "uniform_weights" else personal_weights(level)
    choices = np.array(list(itertools.product(range(len(corners)), repeat=n)))
    minimisers = _minimisers(records[choices], weight, lam)
    rate = _faulty_rate(level, lam, dim, bounds, fault)
    order = 1 if fault == "coordinate_laplace" else 2
    grid = minimisers.reshape((len(corners),) * n + (dim,))
    loss = np.zeros(n)
    for person in range(n):
        moved = np.moveaxis(grid, person, 0).reshape(len(corners), -1, dim)
        for one, two in itertools.combinations(range(len(corners)), 2):
            step = np.linalg.norm(moved[one] - moved[two], ord=order, axis=-1).max()
            loss[person] = max(loss[person], rate * step)
    return CornerLosses(loss, level, len(choices))


def removal_loss(epsilon: ArrayLike, lam: float, *, dim: int, distance: float) -> NDArray[np.float64]:
    """Log-density ratio at a far release if person i is REMOVED, not exchanged: it grows without bound.

    Removing a person changes sum_j epsilon_j and with it the noise rate, from eta to eta'. At a release at ``distance``
    from both minimisers the log ratio is about |eta - eta'| * distance: for a table of zeros it is exact.

    Args:
        epsilon: levels, shape (n,), n >= 2.
        lam: lambda > 0.
        dim: number of features d; the paper's domain R = sqrt(d), Y = 1.
        distance: how far out the release lies, > 0.

    Returns:
        |log ratio| for each person, shape (n,), in nats.

    Raises:
        ValueError: fewer than two people.

    Example:
        >>> bool(removal_loss([1.0, 1.0], 1.0, dim=1, distance=1e3)[0] > 1.0)
        True

    Source: this book: why the guarantee is for substitution only.
    """
    level = levels(epsilon)
    if len(level) < 2:
        raise ValueError(f"removal needs at least two people, got {len(level)}.")
    radius = np.sqrt(dim)
    rate = noise_rate(level, lam, x_norm=radius, y_bound=1.0, bounds="paper")
    without = rate * (level.sum() - level) / level.sum()
    normaliser = dim * np.log(rate / without)
    return np.abs(normaliser - (rate - without) * distance)


def audit_ridge(
    epsilon: ArrayLike,
    lam: float,
    *,
    dim: int,
    bounds: Bounds,
    people: Sequence[int],
    n_releases: int,
    confidence: float,
    rng: np.random.Generator,
    fault: Fault = "none",
) -> pd.DataFrame:
    """Attack releases on a worst-case pair of tables for several people: lower confidence bounds on their loss.

    For each person the table is all zeros except that person, who is exchanged between (1, .., 1; +1) and
    (1, .., 1; -1). The score is the log-density ratio, the best there is. The confidence is shared among the people
    (Bonferroni), so that all bounds hold together. Releases are rounded to a grid of 2^-20 / eta: the last bits of an
    unrounded one give its centre away, a leak of floating-point noise and not of the mechanism.

    Args:
        epsilon: levels, shape (n,), > 0.
        lam: lambda > 0.
        dim: number of features; domain R = sqrt(d), Y = 1.
        bounds: "paper" or "tight".
        people: which records to audit.
        n_releases: releases per table and half of the audit, >= 100.
        confidence: for all bounds together, in (0, 1).
        rng: source of randomness.
        fault: a planted fault, for controls.

    Returns:
        One row per person: person, epsilon, exact (the loss on this pair), lower_bound, ratio (lower_bound / epsilon).

    Raises:
        ValueError: nobody to audit, or numbers out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = audit_ridge([1.0, 2.0], 1.0, dim=1, bounds="paper", people=[0], n_releases=500, confidence=0.95,
        ...                     rng=rng)
        >>> bool((found["ratio"] <= 1).all())
        True

    Source: this book, with `trustlib.privacy.audit_epsilon`.
    """
    import pandas as pd

    level = levels(epsilon)
    if len(people) == 0:
        raise ValueError("people must name at least one record to audit, got none.")
    unknown = [person for person in people if not 0 <= person < len(level)]
    if unknown:
        raise ValueError(f"people must be row numbers from 0 to {len(level) - 1}, got {unknown[0]}.")
    each = 1 - (1 - confidence) / len(people)
    rate = _faulty_rate(level, lam, dim, bounds, fault)
    weight = personal_weights(level)
    rows = []
    for person in people:
        ends = [_lone_minimiser(weight[person], dim, lam, sign) for sign in (1.0, -1.0)]

        def release(centre: object, size: int, source: np.random.Generator) -> NDArray[np.float64]:
            noisy = np.asarray(centre) + sample_l2_laplace(rate, dim, size=size, rng=source)
            return round_to_grid(noisy, step=2.0**-20 / rate)

        def score(out: NDArray[np.float64], ends: list[NDArray[np.float64]] = ends) -> NDArray[np.float64]:
            return rate * (np.linalg.norm(out - ends[1], axis=1) - np.linalg.norm(out - ends[0], axis=1))

        found = audit_epsilon(release, ends[0], ends[1], n=n_releases, confidence=each, rng=rng, score=score)
        rows.append(
            {
                "person": int(person),
                "epsilon": level[person],
                "exact": privacy_loss(ends[0], ends[1], rate),
                "lower_bound": found.lower_bound,
                "ratio": found.lower_bound / level[person],
            }
        )
    return pd.DataFrame(rows)


def personal_report(
    X: ArrayLike,
    y: ArrayLike,
    epsilon: ArrayLike,
    lam: float,
    *,
    x_norm: float,
    y_bound: float,
    bounds: Bounds,
) -> pd.DataFrame:
    """What each person gets: level, weight, the loss that the proof allows, and the loss if their values were zero.

    ``worst_case`` is eta * Delta_i, the bound over all tables: with the paper's bounds it equals epsilon_i.
    ``realised`` is eta * ||theta - theta_i|| with theta_i the minimiser after exchanging record i for (0, 0): an exact
    leave-one-out step by the Sherman-Morrison formula. It depends on the data, so it must not be published.

    Args:
        X: features, shape (n, d).
        y: targets, shape (n,).
        epsilon: levels, shape (n,) or a number, > 0.
        lam: lambda > 0.
        x_norm: R > 0.
        y_bound: Y > 0.
        bounds: "paper" or "tight".

    Returns:
        One row per record: epsilon, weight, sensitivity, worst_case, realised (nats).

    Raises:
        ValueError: numbers or shapes out of range; `DomainError` for data outside the domain.

    Example:
        >>> report = personal_report([[1.0], [0.0]], [1.0, 0.0], [0.5, 1.5], 1.0, x_norm=1.0, y_bound=1.0,
        ...                          bounds="paper")
        >>> report["worst_case"].tolist()
        [0.5, 1.5]

    Source: this book.
    """
    import pandas as pd

    features, target = np.asarray(as_array(X), np.float64), np.asarray(as_array(y), np.float64)
    if features.ndim != 2 or target.shape != (len(features),):
        raise ValueError(f"X must be (n, d) and y (n,), got {features.shape} and {target.shape}.")
    level = levels(epsilon, len(features))
    domain(features, target, x_norm=x_norm, y_bound=y_bound, on_violation="raise")
    weight = personal_weights(level)
    inverse = np.linalg.inv(features.T @ (weight[:, None] * features) + lam * np.eye(features.shape[1]))
    theta = inverse @ (features.T @ (weight * target))
    leverage = weight * np.einsum("ij,jk,ik->i", features, inverse, features)
    residual = target - features @ theta
    step = np.linalg.norm(features @ inverse, axis=1) * weight * np.abs(residual) / (1 - leverage)
    rate = noise_rate(level, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    delta = ridge_sensitivity(weight, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    columns = {"epsilon": level, "weight": weight, "sensitivity": delta}
    return pd.DataFrame({**columns, "worst_case": rate * delta, "realised": rate * step})


def largest_step(dim: int, epsilon: ArrayLike, lam: float, *, bounds: Bounds) -> float:
    """Largest ||theta - theta'|| / Delta_i over all corner exchanges: how much of the sensitivity bound is used.

    Args:
        dim: number of features, 1 to 3.
        epsilon: levels of at most 5 people.
        lam: lambda > 0.
        bounds: "paper" or "tight".

    Returns:
        In (0, 1] for a valid bound.

    Example:
        >>> 0 < largest_step(1, [0.5, 1.0], 1.0, bounds="paper") <= 1
        True

    Source: this book.
    """
    level = levels(epsilon)
    found = corner_losses(dim, level, lam, bounds=bounds)
    rate = noise_rate(level, lam, x_norm=float(np.sqrt(dim)), y_bound=1.0, bounds=bounds)
    delta = ridge_sensitivity(
        personal_weights(level), lam, x_norm=float(np.sqrt(dim)), y_bound=1.0, bounds=bounds
    )
    return float(np.max(found.loss / rate / delta))


def _minimisers(tables: NDArray[np.float64], weight: NDArray[np.float64], lam: float) -> NDArray[np.float64]:
    """Weighted ridge minimisers of many tables (t, n, d + 1) whose last column is the label; shape (t, d)."""
    X, y = tables[..., :-1], tables[..., -1]
    gram = np.einsum("tni,n,tnj->tij", X, weight, X) + lam * np.eye(X.shape[-1])
    return np.linalg.solve(gram, np.einsum("tni,n,tn->ti", X, weight, y)[..., None])[..., 0]


def _faulty_rate(level: NDArray[np.float64], lam: float, dim: int, bounds: Bounds, fault: str) -> float:
    """The noise rate of the domain R = sqrt(d), Y = 1, spoiled as the fault says."""
    known = (
        "none", "uniform_weights", "coordinate_laplace", "labels_out_of_range",
        "features_out_of_range", "quartered_sensitivity", "undersized_noise",
    )  # fmt: skip
    if fault not in known:
        raise ValueError(f"fault must be one of {', '.join(known)}, got {fault!r}.")
    rate = noise_rate(level, lam, x_norm=float(np.sqrt(dim)), y_bound=1.0, bounds=bounds)
    return rate * {"quartered_sensitivity": 4.0, "undersized_noise": 20.0}.get(fault, 1.0)


def _lone_minimiser(weight: float, dim: int, lam: float, label: float) -> NDArray[np.float64]:
    """Minimiser of a table of zeros but for one record (1, .., 1; label): w y x / (w ||x||^2 + lam)."""
    return np.full(dim, weight * label / (weight * dim + lam))
