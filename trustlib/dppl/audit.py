"""Audits of the room: exact over all neighbours of small data sets, and sampled; with faults that must show.

The sensitivity arguments are short, so they are checked by listing everything: all data sets of a few records from a
finite domain, all their neighbours, and the exact law of the selection on each.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.checks import Adjacency, one_of, positive, whole
from trustlib.dppl.coinpress import clip_rows
from trustlib.dppl.embeddings import unit_rows
from trustlib.dppl.laws import Fault, Laws, faulty_exponent, log_ratio
from trustlib.dppl.selection import select_public
from trustlib.dppl.top_k import log_set_counts, select_top_k, set_law
from trustlib.privacy import AuditResult, audit_epsilon

_MOST_TABLES = 100_000


@dataclass(frozen=True)
class SelectionLosses:
    """The exact worst privacy loss of a selection over all neighbours in a small setting.

    Args:
        loss: largest absolute log-ratio of an outcome's probabilities, in nats; infinite if an outcome is possible on
            one side only.
        epsilon: the level claimed.
        pairs: how many pairs of neighbours were compared.
        data: worst data set, as row numbers of the domain; for "replace" the records that both sides share.
        changed: the record (add_remove) or records (replace) in which the worst neighbours differ.
    """

    loss: float
    epsilon: float
    pairs: int
    data: tuple[int, ...]
    changed: tuple[int, ...]

    @property
    def ratio(self) -> float:
        """Loss over level; the guarantee says at most 1."""
        return self.loss / self.epsilon


def worst_selection_loss(
    domain: ArrayLike,
    public_embeddings: ArrayLike,
    *,
    n_records: int,
    epsilon: float,
    d_min: float,
    d_max: float,
    adjacency: Adjacency,
    k: int = 1,
    fault: Fault = "none",
) -> SelectionLosses:
    """Search all data sets of a class with records from a finite domain for the worst neighbours, exactly.

    Compared are, for "add_remove", all data sets D of 0 to n_records - 1 records with all D + x; for "replace" all
    pairs D + x, D + x' with n_records - 1 records in D. Data sets are multisets, as scores do not depend on the order.

    Args:
        domain: possible records, shape (q, d), no zero rows.
        public_embeddings: candidates, shape (M, d), no zero rows.
        n_records: largest size of the class, >= 1.
        epsilon: level claimed for the selection, > 0.
        d_min: lower end of the window.
        d_max: upper end.
        adjacency: "add_remove" or "replace".
        k: samples selected per class.
        fault: a planted fault, for controls; "none" for the mechanism itself.

    Returns:
        The worst loss and where it was found.

    Raises:
        ValueError: a setting too large to list, an unknown fault, or parameters out of range.

    Example:
        >>> circle = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
        >>> setting = dict(n_records=2, epsilon=1.0, d_min=0.0, d_max=2.0)
        >>> round(worst_selection_loss(circle, circle, **setting, adjacency="add_remove").ratio, 3) <= 1
        True
        >>> setting.update(adjacency="replace", fault="monotone_under_replace")
        >>> worst_selection_loss(circle, circle, **setting).ratio > 1
        True

    Source: this book; exhaustive check of the guarantee of Wahdany et al. 2025.
    """
    laws = Laws(domain, public_embeddings, epsilon, d_min, d_max, adjacency, k, fault)
    n_records = whole("n_records", n_records, why="A neighbour needs a record to differ in.")
    tables = math.comb(laws.size + n_records - 1, n_records)
    if tables > _MOST_TABLES:
        raise ValueError(
            f"there are {tables} data sets of {n_records} records among {laws.size}, too many to list. Take fewer."
        )
    worst, pairs = SelectionLosses(0.0, epsilon, 0, (), ()), 0
    sizes = range(n_records) if adjacency == "add_remove" else [n_records - 1]
    for size in sizes:
        for data in itertools.combinations_with_replacement(range(laws.size), size):
            more = np.stack([laws.of((*data, x)) for x in range(laws.size)])
            for changed, loss in laws.losses(data, more):
                pairs += 1
                if loss > worst.loss:
                    worst = SelectionLosses(loss, epsilon, 0, data, changed)
    return SelectionLosses(worst.loss, epsilon, pairs, worst.data, worst.changed)


def neighbour_log_ratios(
    data: ArrayLike,
    domain: ArrayLike,
    public_embeddings: ArrayLike,
    *,
    epsilon: float,
    d_min: float,
    d_max: float,
    adjacency: Adjacency,
    k: int = 1,
    fault: Fault = "none",
) -> NDArray[np.float64]:
    """Log-ratios of all outcomes between one data set and its neighbours: what a heat map of an audit shows.

    Args:
        data: records of one class, shape (n, d), n >= 1.
        domain: records a neighbour may have, shape (q, d).
        public_embeddings: candidates, shape (M, d).
        epsilon: level claimed, > 0.
        d_min: lower end of the window.
        d_max: upper end.
        adjacency: "add_remove": neighbours have one of the domain more. "replace": its first record is exchanged.
        k: samples selected per class.
        fault: a planted fault.

    Returns:
        Shape (q, outcomes), nats: log p(outcome | neighbour) - log p(outcome | data); within [-epsilon, epsilon] if the
        guarantee holds. Outcomes are candidates, or sets of k in the order of ``itertools.combinations``.

    Raises:
        ValueError: as `worst_selection_loss`.

    Example:
        >>> ratios = neighbour_log_ratios([[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], epsilon=1.0, d_min=0.0,
        ...                               d_max=2.0, adjacency="add_remove")
        >>> ratios.round(3)
        array([[-0.219,  0.281]])

    Source: this book.
    """
    records = unit_rows(data, name="data")
    both = np.concatenate([records, unit_rows(domain, name="domain")])
    laws = Laws(both, public_embeddings, epsilon, d_min, d_max, adjacency, k, fault)
    own = tuple(range(len(records)))
    kept = own if adjacency == "add_remove" else own[1:]
    before = laws.of(own)
    after = np.stack([laws.of((*kept, x)) for x in range(len(records), laws.size)])
    return log_ratio(after, before)


def audit_selection(
    scores: ArrayLike,
    neighbour_scores: ArrayLike,
    *,
    epsilon: float,
    adjacency: Adjacency,
    n_draws: int,
    confidence: float,
    rng: np.random.Generator,
    k: int = 1,
    fault: Fault = "none",
) -> AuditResult:
    """A lower confidence bound on epsilon from draws of the real sampler on the scores of two neighbouring data sets.

    The score of a draw is the log-ratio of its exact probabilities, the best statistic there is.

    Args:
        scores: utilities of one class, shape (M,), M small enough to list the sets of k.
        neighbour_scores: utilities on a neighbour, shape (M,).
        epsilon: level at which the sampler runs, > 0.
        adjacency: "add_remove" or "replace".
        n_draws: draws per side and half of the audit, >= 100.
        confidence: of the bound, in (0, 1).
        rng: source of randomness.
        k: samples per class.
        fault: "doubled_exponent" or "monotone_under_replace", to see the audit refute the level; the other faults
            concern scores or exact laws and are refused.

    Returns:
        The audit; ``refutes(epsilon)`` says whether it contradicts the level.

    Raises:
        ValueError: parameters out of range, or a fault that a sampler cannot have.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> found = audit_selection([1.0, 0.0], [1.0, 1.0], epsilon=1.0, adjacency="add_remove", n_draws=2000,
        ...                         confidence=0.95, rng=np.random.default_rng(0))
        >>> found.refutes(1.0)
        False

    Source: this book, with `trustlib.privacy.audit_epsilon`.
    """
    if fault not in ("none", "doubled_exponent", "monotone_under_replace"):
        raise ValueError(
            f'fault must be "none", "doubled_exponent" or "monotone_under_replace", got {fault!r}.'
        )
    pair = [np.asarray(scores, dtype=np.float64), np.asarray(neighbour_scores, dtype=np.float64)]
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape:
        raise ValueError(
            f"scores must be two vectors of one length, got {pair[0].shape} and {pair[1].shape}."
        )
    exponent = faulty_exponent(epsilon, adjacency, fault)
    counts = log_set_counts(len(pair[0]), k)
    (sets, one), (_, two) = (set_law(u, k=k, exponent=exponent, log_counts=counts) for u in pair)
    ratio = {tuple(s): float(a - b) for s, a, b in zip(sets.tolist(), one, two, strict=True)}

    def draw(values: object, n: int, source: np.random.Generator) -> NDArray[np.float64]:
        u = np.asarray(values)[None]
        if k == 1:
            chosen = select_public(u, epsilon=exponent, adjacency="add_remove", rng=source, size=n)[
                :, :, None
            ]
        else:
            chosen = select_top_k(u, k=k, epsilon=exponent, adjacency="add_remove", rng=source, size=n)
        return np.array([ratio[tuple(sorted(s))] for s in chosen[:, 0].tolist()])

    return audit_epsilon(draw, pair[0], pair[1], n=n_draws, confidence=confidence, rng=rng)


def mean_loss(
    domain: ArrayLike,
    *,
    n_records: int,
    clip_norm: float,
    rho: float,
    adjacency: Adjacency,
    fault: Literal["none", "halved_sensitivity", "unclipped"] = "none",
) -> float:
    """Exact Gaussian-DP level of the naive private mean over all neighbours of a small setting, over the one claimed.

    The largest distance of the statistics of two neighbours divided by the standard deviation of the noise, over
    sqrt(2 rho): for "replace" of means of n_records samples, for "add_remove" of sums of any number of them.

    Args:
        domain: possible records, shape (q, d).
        n_records: class size, >= 1.
        clip_norm: clip radius r > 0.
        rho: level claimed, > 0.
        adjacency: "replace" or "add_remove".
        fault: "none"; "halved_sensitivity", noise for r / n although a record moves a mean by up to 2 r / n (half as
            much for sums); or "unclipped".

    Returns:
        Ratio in [0, 1] if the guarantee holds.

    Raises:
        ValueError: parameters out of range or an unknown fault.

    Example:
        >>> setting = dict(n_records=3, clip_norm=1.0, rho=0.5, adjacency="replace")
        >>> mean_loss([[5.0], [-5.0]], **setting), mean_loss([[5.0], [-5.0]], **setting, fault="halved_sensitivity")
        (1.0, 2.0)

    Source: this book; sensitivity of DPPL-Mean in Wahdany et al. 2025.
    """
    one_of("adjacency", adjacency, get_args(Adjacency))
    one_of("fault", fault, ("none", "halved_sensitivity", "unclipped"))
    n_records = whole("n_records", n_records, why="A mean needs records.")
    clip_norm = positive("clip_norm", clip_norm, why="It bounds what one record can contribute.")
    rho = positive("rho", rho, why="It is a privacy level.")
    records = np.asarray(domain, dtype=np.float64)
    if fault != "unclipped":
        records = clip_rows(records, clip_norm)
    # the other records cancel in the difference of two sums or of two means of equal size
    if adjacency == "replace":
        moved = np.linalg.norm(records[:, None] - records[None], axis=2).max() / n_records
        claimed = 2 * clip_norm / n_records
    else:
        moved, claimed = np.linalg.norm(records, axis=1).max(), clip_norm
    sigma = claimed / math.sqrt(2 * rho) / (2 if fault == "halved_sensitivity" else 1)
    return float(moved / sigma / math.sqrt(2 * rho))
