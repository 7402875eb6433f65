"""Exact laws of a selection on small data sets: the mechanism's own, or spoiled by a planted fault."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from trustlib.dppl.checks import Adjacency, one_of, window
from trustlib.dppl.embeddings import unit_rows
from trustlib.dppl.selection import selection_exponent
from trustlib.dppl.top_k import check_k, log_set_counts, set_law

# What an audit can be made to run in place of the mechanism; each must be found out in its own setting.
Fault = Literal[
    "none",
    "doubled_exponent",  # twice the exponent
    "monotone_under_replace",  # the exponent of add/remove although records are replaced
    "clip_after_sum",  # the window is applied to the sum (scaled by the number of records), not to each sample
    "wrong_binomial",  # sets counted as C(j, k) with ranks from 0, as in the authors' Top-K program
]


class Laws:
    """Exact laws of a selection on data sets given as row numbers of a finite domain."""

    def __init__(
        self,
        domain: ArrayLike,
        public_embeddings: ArrayLike,
        epsilon: float,
        d_min: float,
        d_max: float,
        adjacency: Adjacency,
        k: int,
        fault: Fault,
    ) -> None:
        one_of("fault", fault, get_args(Fault))
        one_of("adjacency", adjacency, get_args(Adjacency))
        self.d_min, self.d_max = window(d_min, d_max)
        self.adjacency, self.fault = adjacency, fault
        # 1 + cos of every record of the domain with every candidate
        self.similarity = 1 + unit_rows(domain, name="domain") @ unit_rows(public_embeddings).T
        self.size, n_public = self.similarity.shape
        self.k = check_k(k, n_public)
        self.exponent = faulty_exponent(epsilon, adjacency, fault)
        self.counts = log_set_counts(n_public, self.k)
        if fault == "wrong_binomial":
            if self.k == n_public:
                raise ValueError('fault "wrong_binomial" leaves no set at all for k = M. Take a smaller k.')
            # C(j, k) with rank j - 1 in place of C(j - 1, k - 1): zero for the best set
            rank = np.arange(self.k, n_public + 1, dtype=np.float64)
            self.counts = gammaln(rank) - gammaln(self.k + 1) - gammaln(rank - self.k)

    def of(self, rows: tuple[int, ...]) -> NDArray[np.float64]:
        """Log-probabilities of all outcomes on one data set."""
        raw = self.similarity[list(rows)]
        if self.fault == "clip_after_sum":
            inside = np.clip(raw.sum(axis=0), len(rows) * self.d_min, len(rows) * self.d_max)
            utility = (inside - len(rows) * self.d_min) / (self.d_max - self.d_min)
        else:
            inside = np.clip(raw, self.d_min, self.d_max)
            utility = ((inside - self.d_min) / (self.d_max - self.d_min)).sum(axis=0)
        return set_law(utility, k=self.k, exponent=self.exponent, log_counts=self.counts)[1]

    def losses(
        self, data: tuple[int, ...], more: NDArray[np.float64]
    ) -> Iterator[tuple[tuple[int, ...], float]]:
        """Losses of all neighbours around ``data``, from the laws with one record more, shape (q, outcomes)."""
        if self.adjacency == "add_remove":
            for x, loss in enumerate(np.abs(log_ratio(more, self.of(data))).max(axis=1)):
                yield (x,), float(loss)
            return
        for x, y in itertools.combinations(range(self.size), 2):
            yield (x, y), float(np.abs(log_ratio(more[x], more[y])).max())


def faulty_exponent(epsilon: float, adjacency: Adjacency, fault: str) -> float:
    """The exponent of the selection, spoiled as the fault says."""
    exponent = selection_exponent(epsilon, adjacency=adjacency)
    if fault == "monotone_under_replace":
        if adjacency != "replace":
            raise ValueError(
                'fault "monotone_under_replace" needs adjacency="replace": it is right for add_remove.'
            )
        return epsilon
    return 2 * exponent if fault == "doubled_exponent" else exponent


def log_ratio(log_p: NDArray[np.float64], log_q: NDArray[np.float64]) -> NDArray[np.float64]:
    """log p - log q, 0 where an outcome is impossible on both sides."""
    neither = np.isneginf(log_p) & np.isneginf(log_q)
    with np.errstate(invalid="ignore"):
        return np.where(neither, 0.0, log_p - log_q)
