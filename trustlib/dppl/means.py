"""DPPL-Mean: prototypes that are private means of the embeddings of a class."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import (
    Adjacency,
    EmptyClassWarning,
    Matrix,
    class_index,
    generator,
    one_of,
    positive,
    shape_of,
)
from trustlib.dppl.coinpress import PAPER_SPLIT, check_split, clip_rows, coinpress_mean
from trustlib.dppl.embeddings import check_pool, pool_features, unit_rows
from trustlib.dppl.planning import MeanEstimator, MeanPlan, plan_mean
from trustlib.dppl.prototypes import OnEmpty, PrototypeClassifier
from trustlib.privacy import PrivacyLedger, gaussian_sigma, sample_gaussian

Normalise = Literal["unit", "none"]


class DivergingScheduleWarning(UserWarning):
    """CoinPress was asked for at a size and budget at which its radius grows from step to step."""


class DPPrototypeMean(PrototypeClassifier):
    """Each class is represented by a private mean of its embeddings (DPPL-Mean).

    "naive": clip to length clip_norm, average, add Gaussian noise of sigma = 2 clip_norm / (n_c sqrt(2 rho)).
    "coinpress": shrinking clip balls around the estimate (`coinpress_mean`). "auto": for each class the one with less
    noise, decided from n_c, d and rho alone; a CoinPress schedule that diverges is refused (`plan_mean`).

    "replace" protects the embedding of one record; class labels and so the sizes n_c are public. "add_remove" protects
    one record with its label: the noisy sum of each class is released, which needs no size, has half the sensitivity,
    and points in the same direction, all that cosine prediction uses. Either way the model is rho-zCDP (as Gaussian
    DP, mu = sqrt(2 rho)), because a record is in one class only.

    Args:
        budget: of the model; every class uses all of it.
        estimator: "naive", "coinpress" or "auto".
        normalise: "unit" divides every row by its length after pooling, "none" takes embeddings as they come.
        clip_norm: clip radius of the naive mean, > 0. None with unit rows: their length 1 is the bound.
        radius: public bound on the length of a class mean, where CoinPress starts, > 0. None with unit rows: 1, in
            units of the deviation per coordinate sqrt(d), the paper's choice.
        coordinate_sd: public standard deviation per coordinate that CoinPress assumes, > 0. None with unit rows:
            1 / sqrt(d).
        split: shares of the budget for the steps of CoinPress.
        pool: average pooling over this many neighbouring features, 1 for none.
        adjacency: "replace" or "add_remove" (naive means only).
        on_empty: "raise" for a class without records, or "accept" to release pure noise for it with a warning
            (add_remove only: sizes are public otherwise).
        ledger: a ledger over several releases; None keeps one inside, so that fitting again adds up.

    Attributes:
        prototypes_: private means, shape (C, 1, d // pool); for add_remove private sums of unit length.
        classes_: the public list of classes.
        plans_: how each class was released, one `MeanPlan` per class; public.
        ledger_: what was spent, one entry per class, in parallel.

    Raises:
        ValueError: in fit, for data or parameters out of range.
        TypeError: in fit, for values of the wrong type.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = np.concatenate([rng.normal([3, 0], 1, (200, 2)), rng.normal([0, 3], 1, (50, 2))])
        >>> y = np.repeat([0, 1], [200, 50])
        >>> model = DPPrototypeMean(PrivacyBudget(0.5), estimator="auto").fit(X, y, classes=[0, 1], rng=rng)
        >>> model.predict([[5.0, 0.1], [0.1, 5.0]]), model.ledger_.total()
        (array([0, 1]), GaussianDP(mu=1.0))

    Source: Wahdany et al. 2025, DPPL-Mean; CoinPress: Biswas, Dong, Kamath, Ullman 2020; "auto" and the noisy sum are
    this book's.
    """

    PUBLIC: ClassVar[tuple[str, ...]] = (
        "the list of classes",
        "for 'replace': the label of every record and the class sizes",
        "the encoder, the budget and every other parameter",
    )

    def __init__(
        self,
        budget: PrivacyBudget,
        *,
        estimator: MeanEstimator,
        normalise: Normalise = "unit",
        clip_norm: float | None = None,
        radius: float | None = None,
        coordinate_sd: float | None = None,
        split: tuple[float, ...] = PAPER_SPLIT,
        pool: int = 1,
        adjacency: Adjacency = "replace",
        on_empty: OnEmpty = "raise",
        ledger: PrivacyLedger | None = None,
    ) -> None:
        self.budget = budget
        self.estimator = estimator
        self.normalise = normalise
        self.clip_norm = clip_norm
        self.radius = radius
        self.coordinate_sd = coordinate_sd
        self.split = split
        self.pool = pool
        self.adjacency = adjacency
        self.on_empty = on_empty
        self.ledger = ledger

    def fit(
        self,
        embeddings: Matrix,
        labels: ArrayLike | torch.Tensor,
        *,
        classes: Sequence[Any] | None,
        rng: np.random.Generator,
    ) -> Self:
        """Release the prototypes; every call spends the budget again.

        Args:
            embeddings: private samples, shape (n, d), NumPy or torch, float16 to float64.
            labels: their classes, shape (n,).
            classes: public list of the classes; None reads it off the labels, with a warning.
            rng: source of randomness; without a known seed where the result is released.

        Returns:
            self.

        Raises:
            ValueError: data or parameters out of range.
            TypeError: values of the wrong type.
        """
        rng = generator(rng)
        n, d = shape_of("embeddings", embeddings)
        self._check(d)
        index, known = class_index(labels, classes, n=n)
        rows = pool_features(embeddings, pool=self.pool)
        if self.normalise == "unit":
            rows = unit_rows(rows)
        sizes = np.bincount(index, minlength=len(known))
        self._check_empty(known[sizes == 0], len(known))
        plans = self._plan(sizes, rows.shape[1])
        if self.adjacency == "add_remove":
            ledger = self._open_ledger("one embedding with its class label", parts="by_value")
        else:
            ledger = self._open_ledger("the embedding of one record", parts="fixed")
        self._spend_by_class(ledger, f"DPPL-Mean ({self.estimator})", self.budget.to_gdp(), known)
        released = [self._release(rows[index == c], plan, rng) for c, plan in enumerate(plans)]
        self.prototypes_ = np.stack(released)[:, None, :]
        self.classes_, self.plans_, self.n_features_in_ = known, plans, d
        return self

    def _check(self, d: int) -> None:
        """All parameters, before any work."""
        self._check_budget(self.budget)
        one_of("estimator", self.estimator, get_args(MeanEstimator))
        one_of("normalise", self.normalise, get_args(Normalise))
        one_of("on_empty", self.on_empty, get_args(OnEmpty))
        check_pool(self.pool, d)
        check_split(self.split)
        if self.adjacency == "add_remove" and self.estimator == "coinpress":
            raise ValueError(
                "estimator='coinpress' needs public class sizes, so it cannot protect who takes part: its steps divide "
                "by n_c. Use adjacency='replace', or estimator='naive', which releases a noisy sum."
            )
        if self.on_empty == "accept" and self.adjacency == "replace":
            raise ValueError(
                "on_empty='accept' has no meaning for adjacency='replace', where class sizes are public: leave empty "
                "classes out of classes."
            )
        if self.normalise == "none":
            self._check_scale()

    def _check_scale(self) -> None:
        """Without unit rows the public scale of the embeddings must be stated."""
        if self.estimator in ("naive", "auto") and self.clip_norm is None:
            raise ValueError(
                "clip_norm is missing: without normalise='unit' nothing bounds what one record contributes. Pass a "
                "public clip_norm."
            )
        if self.estimator == "coinpress" and (self.radius is None or self.coordinate_sd is None):
            raise ValueError(
                "radius and coordinate_sd are missing: without normalise='unit' CoinPress does not know the scale. "
                "Pass public values; the paper's programs use sqrt(d) and 1."
            )

    def _plan(self, sizes: NDArray[np.int64], d: int) -> tuple[MeanPlan, ...]:
        """One plan per class, from public numbers."""
        unit = self.normalise == "unit"
        clip_norm = 1.0 if unit and self.clip_norm is None else self.clip_norm
        if self.adjacency == "add_remove":
            bound = positive("clip_norm", clip_norm, why="It bounds what one record can contribute.")
            sigma = gaussian_sigma(self.budget.to_zcdp(), sensitivity=bound)
            return (MeanPlan("naive", sigma, bound),) * len(sizes)
        radius = 1.0 if unit and self.radius is None else self.radius
        sd = d**-0.5 if unit and self.coordinate_sd is None else self.coordinate_sd
        by_size = {
            n: plan_mean(
                n,
                d,
                budget=self.budget,
                estimator=self.estimator,
                clip_norm=clip_norm,
                radius=radius if sd is not None else None,
                unit=1.0 if sd is None else sd,
                split=self.split,
            )
            for n in np.unique(sizes).tolist()
        }
        lost = sum(by_size[n].diverges and by_size[n].estimator == "coinpress" for n in sizes.tolist())
        if lost:
            warnings.warn(
                f"the schedule of CoinPress diverges for {lost} of {len(sizes)} classes: each step leaves a larger "
                "ball than it got. estimator='auto' refuses such schedules.",
                DivergingScheduleWarning,
                stacklevel=3,
            )
        return tuple(by_size[n] for n in sizes.tolist())

    def _release(
        self, rows: NDArray[np.float64], plan: MeanPlan, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """The private mean of one class, shape (d,), or for add_remove the direction of its private sum."""
        if plan.schedule is not None:
            return plan.unit * coinpress_mean(rows / plan.unit, schedule=plan.schedule, rng=rng)
        clipped = clip_rows(rows, plan.clip)
        noise = sample_gaussian(plan.sigma, rows.shape[1], rng=rng)
        if self.adjacency == "replace":
            return np.asarray(clipped.mean(axis=0) + noise)
        total = clipped.sum(axis=0) + noise
        return np.asarray(total / np.linalg.norm(total))

    def _check_empty(self, empty: NDArray[Any], n_classes: int) -> None:
        """Classes without records: an error, or a warning where they were asked for."""
        if not len(empty):
            return
        found = f"{len(empty)} of {n_classes} classes have no private record, the first is {empty[0]}"
        if self.on_empty == "raise":
            remedy = " or pass on_empty='accept' to release noise" if self.adjacency == "add_remove" else ""
            raise ValueError(f"{found}. Leave them out of classes{remedy}.")
        warnings.warn(f"{found}: their prototypes are noise.", EmptyClassWarning, stacklevel=3)
