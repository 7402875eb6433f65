"""What can be known before the data is touched: noise, guarantees and the choice of lambda, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.calibration import Bounds, noise_rate, norm_bound
from trustlib.pdp_op.checks import levels, positive
from trustlib.pdp_op.preferences import keep_probabilities

if TYPE_CHECKING:
    import pandas as pd


def uniform_noise_ratio(epsilon: ArrayLike) -> float:
    """How much more excess loss noise causes at the smallest level for all: (mean epsilon / min epsilon)^2.

    Args:
        epsilon: levels, shape (n,), > 0.

    Returns:
        >= 1; exact for the paper's bounds.

    Raises:
        ValueError: a level that is not finite and > 0.

    Example:
        >>> uniform_noise_ratio([0.1, 0.3])
        4.0

    Source: this book, from eta proportional to the sum of the levels.
    """
    array = levels(epsilon)
    return float((array.mean() / array.min()) ** 2)


def sampling_noise_ratio(epsilon: ArrayLike, threshold: float) -> float:
    """How much more excess loss noise causes after sampling: (sum epsilon / (t * sum p))^2.

    Never below 1 for t <= max epsilon, because (e^epsilon - 1)/(e^t - 1) <= epsilon / t.

    Args:
        epsilon: levels, shape (n,), > 0.
        threshold: t > 0.

    Returns:
        The ratio at the expected number of kept people.

    Raises:
        ValueError: a level that is not finite and > 0, or t <= 0.

    Example:
        >>> sampling_noise_ratio([1.0, 1.0], 1.0)
        1.0

    Source: this book, for the Sample mechanism of Jorgensen et al. 2015.
    """
    array = levels(epsilon)
    return float((array.sum() / (threshold * keep_probabilities(array, threshold).sum())) ** 2)


def noise_ratios(epsilon: ArrayLike) -> dict[str, float]:
    """What each baseline pays in noise relative to PDP-OP, in closed form, by the names of `METHODS`.

    Args:
        epsilon: levels, shape (n,), > 0.

    Returns:
        Ratios >= 1 for "uniform_min", "sample_max" and "sample_mean".

    Raises:
        ValueError: a level that is not finite and > 0.

    Example:
        >>> noise_ratios([1.0, 1.0])
        {'uniform_min': 1.0, 'sample_max': 1.0, 'sample_mean': 1.0}

    Source: this book.
    """
    array = levels(epsilon)
    return {
        "uniform_min": uniform_noise_ratio(array),
        "sample_max": sampling_noise_ratio(array, float(array.max())),
        "sample_mean": sampling_noise_ratio(array, float(array.mean())),
    }


def excess_bound(
    epsilon: ArrayLike, lam: float, *, dim: int, x_norm: float, y_bound: float, bounds: Bounds
) -> float:
    """Upper bound on the expected excess of the objective, whatever the data: (d+1) (R^2 + lam d) / eta^2.

    With b the noise, E F(theta + b) - F(theta) = (d+1)/eta^2 (tr X^T W X + lam d), and tr X^T W X <= R^2. For the
    bound to hold for all data the trace is replaced by R^2; it falls as 1 / (sum epsilon)^2.

    Args:
        epsilon: levels, shape (n,), > 0.
        lam: lambda > 0.
        dim: number of coefficients d.
        x_norm: R > 0.
        y_bound: Y > 0.
        bounds: "paper" or "tight".

    Returns:
        Excess of F, in squared units of y.

    Raises:
        ValueError: numbers out of range.

    Example:
        >>> excess_bound([1.0, 1.0], 1.0, dim=1, x_norm=1.0, y_bound=1.0, bounds="paper")
        16.0

    Source: this book; the constants of the paper's own theorem are not compared.
    """
    eta = noise_rate(epsilon, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    return (dim + 1) * (x_norm**2 + lam * dim) / eta**2


def excess_quantile_bound(
    epsilon: ArrayLike, lam: float, *, dim: int, x_norm: float, y_bound: float, bounds: Bounds, failure: float
) -> float:
    """Bound on the excess of the objective that holds with probability 1 - failure over the noise.

    ||b|| is Gamma(d, 1/eta), so with probability 1 - failure it is below its quantile q, and the excess is at most
    (R^2 + lam) q^2.

    Args:
        epsilon: levels, shape (n,), > 0.
        lam: lambda > 0.
        dim: number of coefficients d.
        x_norm: R > 0.
        y_bound: Y > 0.
        bounds: "paper" or "tight".
        failure: probability in (0, 1) that the bound may fail.

    Returns:
        Excess of F, in squared units of y.

    Raises:
        ValueError: numbers out of range.

    Example:
        >>> round(excess_quantile_bound([2.0], 1.0, dim=1, x_norm=1.0, y_bound=1.0, bounds="paper", failure=0.1), 3)
        42.415

    Source: this book.
    """
    from scipy import stats

    if not 0 < failure < 1:
        raise ValueError(f"failure must be a probability in (0, 1), got {failure!r}.")
    eta = noise_rate(epsilon, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    return (x_norm**2 + lam) * (float(stats.gamma.ppf(1 - failure, dim)) / eta) ** 2


def plan_lambda(
    epsilon: ArrayLike,
    *,
    dim: int,
    x_norm: float,
    y_bound: float,
    bounds: Bounds,
    lambdas: ArrayLike | None = None,
) -> pd.DataFrame:
    """What noise will cost at each lambda, from public quantities only: choose lambda without touching the data.

    ``noise`` is the largest expected increase of the squared error through noise, (d+1)/eta^2 * R^2, over all data of
    the domain; ``shrinkage`` the largest norm that the coefficients can have. Small lambda leaves room for the signal
    and pays in noise; where ``noise`` exceeds y_bound^2 no usefulness is guaranteed, whatever the data.

    Args:
        epsilon: levels, shape (n,), > 0.
        dim: number of coefficients d, >= 1.
        x_norm: R > 0.
        y_bound: Y > 0.
        bounds: "paper" or "tight".
        lambdas: grid, shape (k,), > 0; None for 61 values from 1e-3 to 1e3.

    Returns:
        One row per lambda: lam, rate (eta), noise_norm (E||b||), noise, shrinkage (B), relative (noise / y_bound^2).

    Raises:
        ValueError: numbers out of range.

    Example:
        >>> plan = plan_lambda([1.0] * 100, dim=2, x_norm=1.0, y_bound=1.0, bounds="tight", lambdas=[1.0])
        >>> round(float(plan["rate"].iloc[0]), 2)
        33.33

    Source: this book.
    """
    import pandas as pd

    if not isinstance(dim, int | np.integer) or dim < 1:
        raise ValueError(f"dim must be a whole number >= 1, got {dim!r}.")
    grid = np.logspace(-3, 3, 61) if lambdas is None else np.asarray(lambdas, dtype=np.float64)
    rows = []
    for lam in grid:
        eta = noise_rate(epsilon, float(lam), x_norm=x_norm, y_bound=y_bound, bounds=bounds)
        noise = (dim + 1) * x_norm**2 / eta**2
        radius = norm_bound(float(lam), x_norm=x_norm, y_bound=y_bound, bounds=bounds)
        rows.append(
            {
                "lam": float(lam),
                "rate": eta,
                "noise_norm": dim / eta,
                "noise": noise,
                "shrinkage": radius,
                "relative": noise / y_bound**2,
            }
        )
    return pd.DataFrame(rows)


def marginal_noise(
    epsilon: ArrayLike, lam: float, *, dim: int, trace: float, x_norm: float, y_bound: float
) -> NDArray[np.float64]:
    """How much expected loss one more unit of epsilon from each person saves, through the noise: -d excess/d epsilon_i.

    The noise part of the loss is (d+1) tr A / eta^2 with eta proportional to sum epsilon, so the derivative is
    2 * (d+1) tr A / (eta^2 sum epsilon), the same for everybody. The weights move as well; that effect depends on
    the data and is not part of it.

    Args:
        epsilon: levels, shape (n,), > 0.
        lam: lambda > 0.
        dim: number of coefficients d.
        trace: trace of the evaluation Gram matrix (at most R^2).
        x_norm: R > 0.
        y_bound: Y > 0.

    Returns:
        Shape (n,), loss saved per unit of epsilon, with the paper's bounds.

    Raises:
        ValueError: numbers out of range.

    Example:
        >>> marginal_noise([1.0, 1.0], 1.0, dim=1, trace=1.0, x_norm=1.0, y_bound=1.0)
        array([8., 8.])

    Source: this book.
    """
    array = levels(epsilon)
    trace = positive("trace", trace, why="It is the trace of a Gram matrix.")
    eta = noise_rate(array, lam, x_norm=x_norm, y_bound=y_bound, bounds="paper")
    return np.full(len(array), 2 * (dim + 1) * trace / (eta**2 * array.sum()))


def capped_levels(epsilon: ArrayLike, cap: float) -> NDArray[np.float64]:
    """Levels cut at a cap: w_i proportional to min(epsilon_i, cap) trades noise (sum) against effective size.

    Everybody is still protected at least at their own level. The cap must be chosen from the levels alone.

    Args:
        epsilon: levels, shape (n,), > 0.
        cap: > 0.

    Returns:
        Shape (n,), min(epsilon_i, cap).

    Raises:
        ValueError: numbers out of range.

    Example:
        >>> capped_levels([0.1, 1.0], 0.5)
        array([0.1, 0.5])

    Source: this book.
    """
    return np.minimum(levels(epsilon), positive("cap", cap, why="It is a privacy level."))
