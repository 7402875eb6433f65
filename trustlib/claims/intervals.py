"""Intervals: from samples over the unit that varies to an estimate with its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

IntervalMethod = Literal["t", "bootstrap", "replicates", "clopper_pearson", "sign_test", "count", "exact"]
METHODS: tuple[IntervalMethod, ...] = get_args(IntervalMethod)

# the settings that a method needs beside its name
SETTINGS: dict[str, tuple[str, ...]] = {
    "t": ("level",),
    "bootstrap": ("level", "kind", "of"),
    "replicates": ("level",),
    "clopper_pearson": ("level",),
    "sign_test": ("level", "against"),
    "count": ("total",),
    "exact": (),
}
FEWEST = {"t": 2, "bootstrap": 8, "replicates": 200}  # samples; one is enough for the others
RESAMPLES = 9999
_BLOCK = 2_000_000  # resampled indices held at once


@dataclass(frozen=True)
class Interval:
    """An estimate and the range that the data leave for it.

    Args:
        estimate: the value of the statistic.
        low: lower end.
        high: upper end, low <= high.
        n: number of units (replicates for "replicates", computed cases for "exact").
    """

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class IntervalSpec:
    """How the interval of one statistic is formed; written down in claims.yml before any number.

    - ``t``: mean and Student interval over units, n >= 2.
    - ``bootstrap``: mean or median over units with 9999 resamples, bias-corrected and accelerated ("bca") or
      "percentile"; n >= 8, because with fewer units resampling gives intervals that are far too short.
    - ``replicates``: the samples already are bootstrap replicates of the statistic (an AUROC, a rank
      correlation); median and percentiles, n >= 200.
    - ``clopper_pearson``: samples are 0 or 1 per unit; share of ones with its exact binomial interval.
    - ``sign_test``: share of units above ``against`` (units equal to it are dropped) with its exact binomial
      interval, so that the rule "above 0.5" is the sign test.
    - ``count``: samples are 0 or 1 per unit; how many of exactly ``total`` units are 1, as in "2 of 3 seeds";
      no interval is claimed.
    - ``exact``: computed without sampling; every value must obey the rule, and one that does not refutes it.
      Low and high are the smallest and the largest value; the estimate is the median, or in a
      `ClaimResult` the value closest to breaking the rule.

    Args:
        method: one of the above.
        level: coverage in (0, 1), for example 0.95, two-sided; None for "count" and "exact".
        kind: "bca" or "percentile", bootstrap only.
        of: "mean" or "median", bootstrap only.
        against: the value that units are compared with, sign_test only.
        total: the number of units, count only.

    Raises:
        ValueError: a setting that the method needs is missing, one that it does not know is given, or level
            is no fraction.
    """

    method: IntervalMethod
    level: float | None = None
    kind: Literal["bca", "percentile"] | None = None
    of: Literal["mean", "median"] | None = None
    against: float | None = None
    total: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method is {self.method!r}, allowed: {', '.join(METHODS)}")
        needed = SETTINGS[self.method]
        for name in ("level", "kind", "of", "against", "total"):
            value = getattr(self, name)
            if (value is None) == (name in needed):
                state = "is missing, but" if value is None else f"is {value!r}, but"
                raise ValueError(
                    f"{name} {state} method {self.method} takes exactly: {', '.join(needed) or '-'}"
                )
        if self.level is not None and not 0 < self.level < 1:
            raise ValueError(f"level is {self.level}, need a fraction between 0 and 1 such as 0.95")

    def to_mapping(self) -> dict[str, Any]:
        """The settings as they stand in claims.yml and in records."""
        return {"method": self.method, **{k: getattr(self, k) for k in SETTINGS[self.method]}}

    def words(self) -> str:
        """The method as a reader says it, for example ``95 % t interval``."""
        if self.level is None:
            return "count" if self.method == "count" else "computed, the worst and the range"
        kind = "BCa" if self.kind == "bca" else "percentile"
        names = {
            "t": "t interval",
            "bootstrap": f"{kind} bootstrap interval of the {self.of}",
            "replicates": "percentile interval of bootstrap replicates",
            "clopper_pearson": "Clopper-Pearson interval",
            "sign_test": f"Clopper-Pearson interval of the share above {self.against} (sign test)",
        }
        return f"{100 * self.level:g} % {names[self.method]}"


def interval(samples: NDArray[np.float64], spec: IntervalSpec, *, rng: np.random.Generator) -> Interval:
    """The estimate and interval of a statistic from its samples over units.

    Args:
        samples: shape (n,), finite, one value per unit; 0 or 1 for "clopper_pearson" and "count".
        spec: which interval.
        rng: randomness of the bootstrap; not drawn from by the other methods.

    Returns:
        Estimate, low, high and n. All samples equal gives an interval of width 0 for t and bootstrap.

    Raises:
        ValueError: fewer samples than the method needs, values other than 0 and 1 where only these make
            sense, or a number of units other than ``total``.

    Example:
        >>> import numpy as np
        >>> spec = IntervalSpec("sign_test", level=0.95, against=1.0)
        >>> interval(np.array([1.2, 1.3, 0.9, 1.0]), spec, rng=np.random.default_rng(0)).n
        3

    Source: Efron, Better bootstrap confidence intervals, JASA 1987 (BCa); Clopper and Pearson,
        Biometrika 1934.
    """
    _refuse_unusable(samples, spec)
    n, level = len(samples), spec.level or 0.0  # 0 only where no level is used
    match spec.method:
        case "t":
            return _student(samples, level)
        case "bootstrap":
            return _bootstrap(samples, spec, level, rng)
        case "replicates":
            tail = (1 - level) / 2
            low, high = np.quantile(samples, [tail, 1 - tail])
            return Interval(float(np.median(samples)), float(low), float(high), n)
        case "clopper_pearson":
            return _binomial(int(samples.sum()), n, level)
        case "sign_test":
            distinct = samples[samples != spec.against]
            return _binomial(int((distinct > spec.against).sum()), len(distinct), level)
        case "count":
            total = float(samples.sum())
            return Interval(total, total, total, n)
        case "exact":
            return Interval(float(np.median(samples)), float(samples.min()), float(samples.max()), n)


def _refuse_unusable(samples: NDArray[np.float64], spec: IntervalSpec) -> None:
    """Samples that the method cannot use end here, with the remedy."""
    n, method = len(samples), spec.method
    fewest = FEWEST.get(method, 1)
    if n < fewest:
        raise ValueError(f"{method} needs at least {fewest} samples, got {n}: run more units")
    if method in ("clopper_pearson", "count") and not np.isin(samples, (0.0, 1.0)).all():
        odd = samples[~np.isin(samples, (0.0, 1.0))][0]
        raise ValueError(f"{method} needs samples that are 0 or 1 (one outcome per unit), got {odd:g}")
    if method == "count" and n != spec.total:
        raise ValueError(f"count is over exactly {spec.total} units, got {n}: give one outcome for each")


def _student(samples: NDArray[np.float64], level: float) -> Interval:
    """mean -+ t_{(1 + level) / 2, n - 1} * s / sqrt(n)."""
    from scipy.special import stdtrit

    n, mean = len(samples), float(samples.mean())
    half = float(stdtrit(n - 1, (1 + level) / 2) * samples.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def _binomial(ones: int, n: int, level: float) -> Interval:
    """Clopper-Pearson: the shares that a two-sided exact binomial test does not reject."""
    from scipy.special import betaincinv

    if n == 0:
        return Interval(0.5, 0.0, 1.0, 0)
    tail = (1 - level) / 2
    low = float(betaincinv(ones, n - ones + 1, tail)) if ones else 0.0
    high = float(betaincinv(ones + 1, n - ones, 1 - tail)) if ones < n else 1.0
    return Interval(ones / n, low, high, n)


def _bootstrap(
    samples: NDArray[np.float64], spec: IntervalSpec, level: float, rng: np.random.Generator
) -> Interval:
    """Percentile or BCa interval of the mean or median over units."""
    statistic = np.mean if spec.of == "mean" else np.median
    n, estimate = len(samples), float(statistic(samples))
    if np.ptp(samples) == 0:
        return Interval(estimate, estimate, estimate, n)
    rows = max(1, _BLOCK // n)
    blocks = [
        statistic(samples[rng.integers(n, size=(min(rows, RESAMPLES - start), n))], axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    replicates = np.concatenate(blocks)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if spec.kind == "bca":
        jackknife = (
            (samples.sum() - samples) / (n - 1)
            if spec.of == "mean"
            else np.array([np.median(np.delete(samples, i)) for i in range(n)])
        )
        tails = _accelerated(tails, replicates, estimate, jackknife)
    low, high = np.quantile(replicates, tails)
    return Interval(estimate, float(low), float(high), n)


def _accelerated(
    tails: NDArray[np.float64],
    replicates: NDArray[np.float64],
    estimate: float,
    jackknife: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The tail probabilities of BCa: corrected for bias z0 and acceleration a."""
    from scipy.special import ndtr, ndtri

    # ties (up to rounding) count one half, so that a discrete statistic is not taken for a biased one
    side = np.where(np.abs(replicates - estimate) <= 1e-9 * np.ptp(replicates), 0, replicates - estimate)
    below = 0.5 - 0.5 * np.sign(side).mean()
    z0 = ndtri(np.clip(below, 1 / len(replicates), 1 - 1 / len(replicates)))
    lean = jackknife.mean() - jackknife
    spread = (lean**2).sum() ** 1.5
    a = (lean**3).sum() / (6 * spread) if spread > 0 else 0.0
    z = z0 + ndtri(tails)
    return np.asarray(ndtr(z0 + z / (1 - a * z)))
