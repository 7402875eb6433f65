"""What can be decided before the private data are looked at: which private mean, and what a selection can cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import Adjacency, one_of, positive, whole, window
from trustlib.dppl.coinpress import PAPER_SPLIT, CoinPressSchedule, check_split, coinpress_schedule
from trustlib.dppl.selection import selection_exponent
from trustlib.privacy import gaussian_sigma

MeanEstimator = Literal["naive", "coinpress", "auto"]


@dataclass(frozen=True)
class MeanPlan:
    """How the mean of one class is released; a function of public numbers only.

    Args:
        estimator: "naive" or "coinpress", never "auto".
        sigma: standard deviation of the noise of the estimate per coordinate, in units of the embeddings.
        clip: radius of the last clipping, in units of the embeddings.
        schedule: steps of CoinPress, in units of the standard deviation per coordinate; None for "naive".
        unit: standard deviation per coordinate that CoinPress assumes, in units of the embeddings.
        diverges: whether CoinPress would lose ground from step to step (for "auto": the schedule it refused).
    """

    estimator: Literal["naive", "coinpress"]
    sigma: float
    clip: float
    schedule: CoinPressSchedule | None = None
    unit: float = 1.0
    diverges: bool = False


def plan_mean(
    n: int,
    d: int,
    *,
    budget: PrivacyBudget,
    estimator: MeanEstimator,
    clip_norm: float | None,
    radius: float | None,
    unit: float,
    split: tuple[float, ...] = PAPER_SPLIT,
) -> MeanPlan:
    """Choose and calibrate the private mean of a class of public size n, without its data.

    Candidates are the naive mean (sigma = 2 clip_norm / (n sqrt(2 rho))) and CoinPress with the last 1, 2, ... shares
    of the split. "auto" leaves out every schedule that diverges and takes the smallest noise in the estimate.

    Args:
        n: class size, public, >= 1.
        d: dimensions, >= 1.
        budget: for the class.
        estimator: "naive", "coinpress" (the whole split, even if it diverges) or "auto".
        clip_norm: clip radius of the naive mean, in units of the embeddings; None if it is not a candidate.
        radius: public bound on the length of the mean for CoinPress, in units of the embeddings; None if it is not a
            candidate.
        unit: public standard deviation per coordinate that CoinPress assumes, > 0.
        split: shares of the steps of CoinPress.

    Returns:
        The plan.

    Raises:
        ValueError: numbers out of range, or no candidate.

    Example:
        >>> plan = plan_mean(5, 1280, budget=PrivacyBudget(0.5), estimator="auto", clip_norm=1.0, radius=1.0,
        ...                  unit=1280**-0.5)
        >>> plan.estimator, plan.diverges, round(plan.sigma, 3)
        ('naive', True, 0.4)

    Source: this book; the schedule is that of Biswas, Dong, Kamath, Ullman 2020.
    """
    one_of("estimator", estimator, get_args(MeanEstimator))
    n = whole("n", n, why="A mean needs records, and the class sizes are public here.")
    unit = positive("unit", unit, why="It is the standard deviation per coordinate that CoinPress assumes.")
    shares = check_split(split)
    lengths = range(1, len(shares) + 1) if estimator == "auto" else [len(shares)]
    candidates: list[MeanPlan] = []
    refused = False
    if estimator != "naive" and radius is not None:
        for steps in lengths:
            schedule = coinpress_schedule(n, d, rho=budget.rho, radius=radius / unit, split=shares[-steps:])
            refused |= schedule.diverges
            if estimator == "coinpress" or not schedule.diverges:
                last = schedule.steps[-1]
                candidates.append(
                    MeanPlan(
                        "coinpress", last.sigma * unit, last.clip * unit, schedule, unit, schedule.diverges
                    )
                )
    if estimator != "coinpress" and clip_norm is not None:
        clip_norm = positive("clip_norm", clip_norm, why="It bounds what one record can contribute.")
        sigma = gaussian_sigma(budget.to_zcdp(), sensitivity=2 * clip_norm / n)
        candidates.append(MeanPlan("naive", sigma, clip_norm, unit=unit, diverges=refused))
    if not candidates:
        raise ValueError(
            f"{estimator!r} has no candidate that works for n = {n}, d = {d}, rho = {budget.rho:g}: pass clip_norm for "
            "the naive mean, or a radius from which CoinPress does not diverge."
        )
    return min(candidates, key=lambda plan: plan.sigma)


def selection_error(
    n_public: int,
    *,
    budget: PrivacyBudget,
    adjacency: Adjacency,
    d_min: float,
    d_max: float,
    size: int,
    failure: float,
    k: int = 1,
) -> float:
    """How far the mean similarity of a selected public sample can fall behind the best one, with high probability.

    With probability at least 1 - failure the selected sample (for k > 1 the worst of the set, against the k-th best)
    falls behind by at most (d_max - d_min) (log C(M, k) + log(1 / failure)) / (a size), with a the exponent of the
    selection: proportional to 1 / size, and to the logarithm of the pool.

    Args:
        n_public: size of the pool M, >= k.
        budget: of the class.
        adjacency: "add_remove" or "replace".
        d_min: lower end of the window.
        d_max: upper end.
        size: records in the class, >= 1.
        failure: in (0, 1).
        k: samples per class.

    Returns:
        A bound on the loss of clipped mean similarity, >= 0, between 0 and d_max - d_min where it says anything.

    Raises:
        ValueError: numbers out of range.

    Example:
        >>> round(selection_error(1000, budget=PrivacyBudget(0.5), adjacency="add_remove", d_min=0, d_max=2, size=100,
        ...                       failure=0.05), 4)
        0.099

    Source: McSherry and Talwar 2007; Dwork and Roth 2014, Thm. 3.11.
    """
    d_min, d_max = window(d_min, d_max)
    size, k = whole("size", size, why="It counts records."), whole("k", k, why="A class needs a prototype.")
    n_public = whole("n_public", n_public, least=k, why="The pool must hold k samples.")
    if not 0 < failure < 1:
        raise ValueError(f"failure must lie in (0, 1), got {failure!r}. It is a probability.")
    exponent = selection_exponent(budget.em_epsilon, adjacency=adjacency)
    log_sets = math.lgamma(n_public + 1) - math.lgamma(k + 1) - math.lgamma(n_public - k + 1)
    return (d_max - d_min) * (log_sets - math.log(failure)) / (exponent * size)
