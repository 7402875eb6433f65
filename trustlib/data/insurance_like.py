"""A generated table with the columns of the medical cost table, for first contact and tests without a network."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trustlib.data.checks import whole

if TYPE_CHECKING:
    import pandas as pd

ROWS = 1338
_DRAWS = 9  # uniform numbers per row, fixed for ever: row i reads draws 9 i to 9 i + 8
_REGIONS = np.array(["southeast", "northeast", "northwest", "southwest"])
_REGION_SHARES = np.array([0.27, 0.24, 0.24, 0.25])
_CHILDREN_SHARES = np.array([0.43, 0.24, 0.18, 0.12, 0.02, 0.01])


def insurance_like(n: int | None = None, *, seed: int | None = None) -> pd.DataFrame:
    """Rows of an invented insurer whose charges depend on age, children, and smoking together with BMI.

    charges = 500 + 3.1 age^2 + 500 children + smoker (13500 + 450 (bmi - 25) + 16000 [bmi > 30]),
    times a factor of mean 1 and standard deviation 0.1, plus, for one non-smoker in eight, the cost of a hospital
    stay between 5 000 and 22 000. Age is uniform, BMI normal (higher in the southeast). Shares and coefficients are
    our own round numbers, chosen so that mean, spread and explained variance resemble those of the real table.

    Args:
        n: number of rows, >= 1; None: 1 338, as many as the real table has.
        seed: whole number >= 0; None: 0. Row i depends on (seed, i) only: a longer table begins with the shorter one.

    Returns:
        Columns age (18 to 64), sex, bmi (15 to 55, two decimals), children (0 to 5), smoker, region and
        charges (1 000 to 64 000, cents): always inside the public ranges of the schema.

    Raises:
        TypeError: n or seed is not a whole number.
        ValueError: n < 1 or seed < 0.

    Example:
        >>> insurance_like(2, seed=1).equals(insurance_like(3, seed=1).head(2))
        True
    """
    import pandas as pd
    from scipy.special import ndtri

    n = ROWS if n is None else whole("n", n, least=1)
    seed = 0 if seed is None else whole("seed", seed, least=0)
    u = _uniform(n, seed)
    age = 18 + np.floor(47 * u[:, 0])
    male = u[:, 1] < 0.505
    region = _REGIONS[_choose(u[:, 2], _REGION_SHARES)]
    mean_bmi = np.where(region == "southeast", 33.0, 29.8)
    bmi = np.round(np.clip(mean_bmi + 6.0 * ndtri(u[:, 3]), 15, 55), 2)
    children = _choose(u[:, 4], _CHILDREN_SHARES)
    smoker = u[:, 5] < np.where(male, 0.235, 0.175)
    extra = smoker * (13_500 + 450 * (bmi - 25) + 16_000 * (bmi > 30))
    expected = 500 + 3.1 * age**2 + 500 * children + extra
    stay = (~smoker & (u[:, 7] < 0.125)) * (5_000 + 17_000 * u[:, 8])
    charges = np.round(np.clip(expected * (1 + 0.1 * ndtri(u[:, 6])) + stay, 1_000, 64_000), 2)
    return pd.DataFrame(
        {
            "age": age.astype(np.int64),
            "sex": np.where(male, "male", "female"),
            "bmi": bmi,
            "children": children,
            "smoker": np.where(smoker, "yes", "no"),
            "region": region,
            "charges": charges,
        }
    )


@functools.cache
def reference_fingerprint() -> str:
    """SHA-256 of the first 1 338 rows at seed 0 as CSV: the generator's identity in provenance records."""
    return hashlib.sha256(insurance_like().to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def _uniform(n: int, seed: int) -> NDArray[np.float64]:
    """Shape (n, 9), in (0, 1). From raw words of PCG64, whose stream NumPy keeps fixed across versions."""
    words = np.random.PCG64(seed).random_raw(n * _DRAWS) >> np.uint64(12)
    return (words.astype(np.float64).reshape(n, _DRAWS) + 0.5) * 2.0**-52


def _choose(u: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Index of the interval of the cumulated shares in which each u falls."""
    return np.minimum(np.searchsorted(np.cumsum(shares), u, side="right"), len(shares) - 1)
