"""Personalised against uniform, sampled and trivial predictions on one table: exact losses over splits and levels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from trustlib.pdp_op.calibration import Bounds, check_bounds, noise_rate
from trustlib.pdp_op.checks import as_array
from trustlib.pdp_op.moments import LossMoments, loss_moments
from trustlib.pdp_op.normal_equations import NormalEquations, normal_equations
from trustlib.pdp_op.preferences import Preferences, keep_probabilities, resolve_threshold
from trustlib.privacy import sample_l2_laplace

if TYPE_CHECKING:
    import pandas as pd

Method = Literal[
    "pdp_op", "uniform_min", "sample_max", "sample_mean", "repaired_max", "repaired_mean", "nonprivate"
]
METHODS: tuple[Method, ...] = ("pdp_op", "sample_max", "sample_mean", "uniform_min")
LABELS = {
    "pdp_op": "PDP-OP",
    "sample_max": "Sample (t = max ε)",
    "sample_mean": "Sample (t = mean ε)",
    "repaired_max": "Sample repaired (t = max ε)",
    "repaired_mean": "Sample repaired (t = mean ε)",
    "uniform_min": "Uniform (min ε)",
    "nonprivate": "No privacy",
    "zero": "Predict 0",
    "mean": "Training mean (not private)",
    "private_mean": "Personalised private mean",
}
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A regression table with its public domain.

    Args:
        X: features, shape (n, d).
        y: targets, shape (n,).
        x_norm: public R >= ||x_i||.
        y_bound: public Y >= |y_i|.
        y_range: public (lower, upper) of the targets; the domain of the private mean.

    Raises:
        ValueError: shapes that do not agree, or data outside the domain.

    Example:
        >>> Problem(np.ones((3, 1)), np.ones(3), x_norm=1.0, y_bound=1.0, y_range=(0.0, 1.0)).dim
        1
    """

    X: NDArray[np.float64]
    y: NDArray[np.float64]
    x_norm: float
    y_bound: float
    y_range: tuple[float, float]

    def __post_init__(self) -> None:
        X, y = np.asarray(as_array(self.X), np.float64), np.asarray(as_array(self.y), np.float64)
        object.__setattr__(self, "X", X)
        object.__setattr__(self, "y", y)
        if X.ndim != 2 or y.shape != (len(X),) or len(X) == 0:
            raise ValueError(f"X must be (n, d) and y (n,) with n >= 1, got {X.shape} and {y.shape}.")
        slack = 1 + 1e-9
        inside = np.linalg.norm(X, axis=1).max() <= self.x_norm * slack
        if not (inside and np.abs(y).max() <= self.y_bound * slack):  # NaN is outside
            raise ValueError(
                f"the table leaves its public domain (x_norm = {self.x_norm:g}, y_bound = {self.y_bound:g}): no "
                "guarantee would hold. Encode it with public ranges."
            )

    @property
    def dim(self) -> int:
        """Number of features d."""
        return self.X.shape[1]


@dataclass(frozen=True)
class Plan:
    """How a comparison is run; everything that varies is listed here.

    Args:
        preferences: shares and levels of the population.
        lambdas: grid of lambda, > 0.
        n_splits: random train/test splits, the unit of intervals.
        n_draws: draws of the privacy levels per split.
        n_kept: draws of who is kept, per draw of levels, for the sampling baselines.
        test_share: share of rows for testing, in (0, 1).
        n_train: training rows; None for all that are not tested.
        bounds: "paper" or "tight".
        seed: of splits, levels and everything else; each split has a stream of its own.

    Raises:
        ValueError: counts below 1, a share outside (0, 1), an empty grid or unknown bounds.

    Example:
        >>> from trustlib.pdp_op.preferences import ALAGGAN
        >>> Plan(ALAGGAN, lambdas=(1.0,), n_splits=2, seed=0).test_share
        0.2
    """

    preferences: Preferences
    lambdas: tuple[float, ...]
    n_splits: int
    seed: int
    n_draws: int = 20
    n_kept: int = 4
    test_share: float = 0.2
    n_train: int | None = None
    bounds: Bounds = "paper"

    def __post_init__(self) -> None:
        for name in ("n_splits", "n_draws", "n_kept"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a whole number >= 1, got {value!r}.")
        if not 0 < self.test_share < 1:
            raise ValueError(f"test_share must lie in (0, 1), got {self.test_share!r}.")
        object.__setattr__(self, "lambdas", tuple(float(x) for x in self.lambdas))
        if not self.lambdas or not all(0 < lam < np.inf for lam in self.lambdas):
            raise ValueError(f"lambdas must hold finite numbers > 0, got {self.lambdas!r}.")
        check_bounds(self.bounds)

    def at(self, lam: float) -> int:
        """Position of a lambda in the grid; a ValueError lists the grid where it is missing."""
        if lam not in self.lambdas:
            raise ValueError(f"lambda = {lam!r} is not in the grid {self.lambdas}. Add it to lambdas.")
        return self.lambdas.index(lam)


@dataclass(frozen=True)
class Trial:
    """One split with one draw of levels: what a method sees.

    Args:
        split: number of the split.
        draw: number of the draw of levels within it.
        X: training features, shape (n, d).
        y: training targets, shape (n,).
        test: normal equations of the test rows.
        test_mean: mean target of the test rows.
        epsilon: levels, shape (n,).
        rng: for who is kept and for noise; its state depends on (seed, split, draw) only.
    """

    split: int
    draw: int
    X: Vector
    y: Vector
    test: NormalEquations
    test_mean: float
    epsilon: Vector
    rng: np.random.Generator


def trials(
    problem: Problem,
    plan: Plan,
    *,
    change: Callable[[Vector], Vector] | None = None,
    permute: bool = False,
) -> Iterator[Trial]:
    """All splits and draws of a plan, in order.

    Args:
        problem: the table.
        plan: the plan.
        change: applied to every vector of levels, for controls (for instance: everybody gets the mean).
        permute: deal out the training targets at random, a control without anything to learn.

    Yields:
        n_splits * n_draws trials.

    Raises:
        ValueError: more training rows than there are.
    """
    n = len(problem.y)
    n_test = max(1, round(plan.test_share * n))
    n_train = n - n_test if plan.n_train is None else plan.n_train
    if not 1 <= n_train <= n - n_test:
        raise ValueError(f"n_train must lie in [1, {n - n_test}] for {n} rows, got {n_train}.")
    for split in range(plan.n_splits):
        rng = np.random.default_rng([plan.seed, 0, split])
        order = rng.permutation(n)
        rows, train = order[:n_test], order[n_test : n_test + n_train]
        test = normal_equations(problem.X[rows], problem.y[rows])
        X, y, mean = problem.X[train], problem.y[train], float(problem.y[rows].mean())
        y = rng.permutation(y) if permute else y
        for draw in range(plan.n_draws):
            source = np.random.default_rng([plan.seed, 1, split, draw])
            epsilon = plan.preferences.draw(n_train, rng=source)
            epsilon = epsilon if change is None else change(epsilon)
            yield Trial(split, draw, X, y, test, mean, epsilon, source)


def method_losses(
    method: Method, trial: Trial, problem: Problem, plan: Plan, *, penalised: bool = False
) -> LossMoments:
    """Exact moments of the test loss of one method in one trial, for the whole grid of lambda.

    For the sampling baselines mean and noise are averages over ``n_kept`` draws of who is kept, and std includes the
    variation between them.

    Args:
        method: one of the methods.
        trial: split and levels.
        problem: for the public domain.
        plan: for the grid, the bounds and n_kept.
        penalised: add lambda ||theta||^2 to the loss ("type 2").

    Returns:
        Moments of shape (k,) for the k values of lambda.

    Raises:
        ValueError: an unknown method.
    """
    grid = np.array(plan.lambdas)
    penalty = grid if penalised else None

    def moments(weights: Vector, levels: Vector | None) -> LossMoments:
        theta = normal_equations(trial.X, trial.y, weights).solve_grid(grid)
        public = (problem.x_norm, problem.y_bound, plan.bounds)
        rate = np.full(len(grid), np.inf) if levels is None else _rate(levels, grid, *public)
        return loss_moments(theta, rate, trial.test, penalty=penalty)

    n, epsilon = len(trial.y), trial.epsilon
    if method == "pdp_op":
        return moments(epsilon / epsilon.sum(), epsilon)
    if method == "uniform_min":
        return moments(np.full(n, 1 / n), np.full(n, epsilon.min()))
    if method == "nonprivate":
        return moments(np.full(n, 1 / n), None)
    variant, _, word = method.partition("_")
    if variant not in ("sample", "repaired") or word not in ("max", "mean"):
        raise ValueError(f"method must be one of {', '.join(LABELS)}, got {method!r}.")
    threshold = resolve_threshold(epsilon, word)  # type: ignore[arg-type]
    keep = keep_probabilities(epsilon, threshold)
    found = []
    for _ in range(plan.n_kept):
        kept = trial.rng.random(n) < keep
        base = n if variant == "repaired" else max(1, int(kept.sum()))
        found.append(moments(kept / base, np.full(base, threshold)))
    means = np.array([f.mean for f in found])
    spread = np.sqrt(np.mean([f.std**2 for f in found], axis=0) + means.var(axis=0))
    return LossMoments(means.mean(axis=0), spread, np.mean([f.noise for f in found], axis=0))


def compare(
    problem: Problem,
    plan: Plan,
    *,
    methods: tuple[Method, ...] = METHODS,
    penalised: bool = False,
    progress: Callable[[Iterator[Trial], int], Iterator[Trial]] | None = None,
) -> pd.DataFrame:
    """Exact mean and standard deviation of the test loss of every method, for every split, draw and lambda.

    Args:
        problem: the table.
        plan: splits, draws, grid and bounds.
        methods: which methods.
        penalised: add lambda ||theta||^2 to the loss ("type 2").
        progress: wraps the iteration, called with (trials, total); None for no progress display.

    Returns:
        Columns split, draw, method, lam, mean, std, noise.

    Raises:
        ValueError: an unknown method, or a plan that does not fit the table.
    """
    import pandas as pd

    source = trials(problem, plan)
    source = source if progress is None else progress(source, plan.n_splits * plan.n_draws)
    pieces = []
    for trial in source:
        for method in methods:
            found = method_losses(method, trial, problem, plan, penalised=penalised)
            columns = {"split": trial.split, "draw": trial.draw, "method": method, "lam": plan.lambdas}
            pieces.append(
                pd.DataFrame({**columns, "mean": found.mean, "std": found.std, "noise": found.noise})
            )
    return pd.concat(pieces, ignore_index=True)


def summarise(frame: pd.DataFrame, *, value: str = "mean", confidence: float = 0.95) -> pd.DataFrame:
    """Mean of a column per method and lambda with its t interval over splits; draws are averaged within a split.

    Args:
        frame: the result of `compare` or `null_losses`.
        value: column to summarise.
        confidence: of the interval, in (0, 1).

    Returns:
        Columns method, (lam,) centre, low, high; low and high are NaN for a single split.

    Raises:
        ValueError: a column that is not there.
    """
    from scipy import stats

    if value not in frame.columns:
        raise ValueError(f"value must be a column of the frame, one of {list(frame.columns)}, got {value!r}.")
    keys = [k for k in ("method", "lam") if k in frame.columns]
    splits = frame.groupby([*keys, "split"], sort=True)[value].mean()
    found = splits.groupby(level=keys).agg(["mean", "std", "count"]).reset_index()
    half = stats.t.ppf((1 + confidence) / 2, found["count"] - 1) * found["std"] / np.sqrt(found["count"])
    found = found.assign(centre=found["mean"], low=found["mean"] - half, high=found["mean"] + half)
    return found[[*keys, "centre", "low", "high"]]


def best_lambda(summary: pd.DataFrame) -> pd.DataFrame:
    """The row with the smallest centre of each method: lambda is chosen on the test loss, free of charge.

    Args:
        summary: the result of `summarise`.

    Returns:
        One row per method.
    """
    return summary.loc[summary.groupby("method")["centre"].idxmin()].reset_index(drop=True)


def simulation_error(
    problem: Problem, plan: Plan, *, lam: float, sizes: tuple[int, ...], repeats: int
) -> pd.DataFrame:
    """How far simulated mean losses lie from the exact one, for growing numbers of releases; first trial of the plan.

    Args:
        problem: the table.
        plan: for the split and the levels.
        lam: one lambda of the grid.
        sizes: numbers of simulated releases.
        repeats: independent simulations of each size.

    Returns:
        Columns releases, error (relative, signed), repeat.
    """
    import pandas as pd

    at = plan.at(lam)
    trial = next(trials(problem, plan))
    weight = trial.epsilon / trial.epsilon.sum()
    theta = normal_equations(trial.X, trial.y, weight).solve(lam)
    eta = noise_rate(trial.epsilon, lam, x_norm=problem.x_norm, y_bound=problem.y_bound, bounds=plan.bounds)
    exact = method_losses("pdp_op", trial, problem, plan).mean[at]
    slope = 2 * (trial.test.gram @ theta - trial.test.cross)
    rows = []
    for size in sizes:
        for repeat in range(repeats):
            noise = sample_l2_laplace(eta, problem.dim, size=size, rng=trial.rng)
            quadratic = np.einsum("ni,ij,nj->n", noise, trial.test.gram, noise)
            simulated = trial.test.loss(theta) + float(np.mean(quadratic + noise @ slope))
            rows.append({"releases": size, "error": simulated / exact - 1, "repeat": repeat})
    return pd.DataFrame(rows)


def null_losses(problem: Problem, plan: Plan) -> pd.DataFrame:
    """Test losses of predictions that ignore the features: 0, the training mean, and the personalised private mean.

    Args:
        problem: the table.
        plan: splits and draws.

    Returns:
        Columns split, draw, method ("zero", "mean", "private_mean"), mean (expected squared error).
    """
    import pandas as pd

    rows = []
    for trial in trials(problem, plan):
        for method, value in null_values(trial, problem).items():
            rows.append({"split": trial.split, "draw": trial.draw, "method": method, "mean": value})
    return pd.DataFrame(rows)


def null_values(trial: Trial, problem: Problem) -> dict[str, float]:
    """Expected squared errors of the three constant predictions on the test rows of a trial."""
    mean_y, power = trial.test_mean, trial.test.power

    def constant(value: float) -> float:
        return power - 2 * value * mean_y + value**2

    weighted = float(trial.epsilon @ trial.y / trial.epsilon.sum())
    scale = (problem.y_range[1] - problem.y_range[0]) / float(trial.epsilon.sum())
    return {
        "zero": constant(0.0),
        "mean": constant(float(trial.y.mean())),
        "private_mean": constant(weighted) + 2 * scale**2,
    }


def with_preferences(plan: Plan, **changes: float) -> Plan:
    """The plan with some of the preferences changed, for sweeps over privacy distributions.

    Example:
        >>> from trustlib.pdp_op.preferences import ALAGGAN
        >>> plan = Plan(ALAGGAN, lambdas=(1.0,), n_splits=2, seed=0)
        >>> with_preferences(plan, conservative=0.1).preferences.conservative
        0.1
    """
    return replace(plan, preferences=replace(plan.preferences, **changes))


def equal_levels(epsilon: Vector) -> Vector:
    """Everybody gets the mean level: a control in which there is nothing to personalise."""
    return np.full(len(epsilon), epsilon.mean())


def two_point_levels(epsilon: Vector) -> Vector:
    """Levels above the median become the largest one, the others one millionth of it: a control for sampling."""
    top = float(epsilon.max())
    return np.where(epsilon > np.median(epsilon), top, np.where(epsilon == top, top, 1e-6 * top))


def _rate(levels: Vector, grid: Vector, x_norm: float, y_bound: float, bounds: Bounds) -> Vector:
    """Noise rates over a grid of lambda."""
    return np.asarray(noise_rate(levels, grid, x_norm=x_norm, y_bound=y_bound, bounds=bounds))
