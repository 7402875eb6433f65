"""Samples for the claims about points and layers, and the controls beside them.

What each statistic is, and the rule that it is put through, stands in ``book/claims.yml``; nothing is decided here.
Scores come as mappings from a subset's letter (S shared, C candidate, I independent, E external) to an array (pairs,
points), or as a `LayerMem` with external points as its control.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.comparison import bootstrap_difference, compare_subsets
from trustlib.memorization.evidence_statistics import (
    N_BOOT,
    TOP,
    control_of,
    correlate_rows,
    excess_replicates,
    halves,
    spearman,
)
from trustlib.memorization.layermem import LayerMem
from trustlib.memorization.rankings import overlap_matrix

Floats = NDArray[np.float64]
Subsets = Mapping[str, Floats]
LEVEL = 0.01  # of the four corrected tests
LEAST_AUC = 0.65
TREND = 0.8  # rank correlation with the step of training
FAR = 4  # layers apart


@dataclass(frozen=True)
class Evidence:
    """Samples of one claim.

    Args:
        samples: by the name of the statistic.
        controls: samples where the effect is absent, by the name of the control.
    """

    samples: dict[str, Floats]
    controls: dict[str, Floats]


# ----------------------------------------------------------------------------------------------------------- points


def by_method(scores: Mapping[str, Subsets], same_data: Mapping[str, Subsets]) -> Evidence:
    """Samples for memorization-1: does the first pair of each method show an excess?

    Args:
        scores: subsets by method.
        same_data: the same for pairs whose encoders saw the same points.
    """
    return Evidence(
        {"excess_by_method": np.array([_has_excess(s) for s in scores.values()])},
        {"same_data": np.array([_has_excess(s) for s in same_data.values()])},
    )


def order_of_subsets(scores: Subsets) -> Evidence:
    """Samples for memorization-2: are all four orders of subsets there, pair by pair?

    Args:
        scores: all four subsets.
    """
    nothing = {"C": scores["S"], "E": halves(scores["E"])[0]}
    return Evidence(
        {"order_of_subsets": _ordered(scores)},
        {
            "shared_as_candidates": _ordered(nothing),
            "swapped_encoders": _ordered({name: -values for name, values in scores.items()}),
        },
    )


def share_memorized(scores: Subsets) -> Evidence:
    """Samples for memorization-3: which candidates score above the 95 % quantile of the external points?

    Args:
        scores: subsets C, S and E.
    """
    line = np.quantile(scores["E"], 0.95, axis=1, keepdims=True)
    above = {name: (scores[name] > line).astype(np.float64).ravel() for name in "CS"}
    return Evidence({"share_memorized": above["C"]}, {"shared_points": above["S"]})


def atypical_points(
    scores: Subsets, atypicality: Subsets, *, seed: int = 0, n_boot: int = N_BOOT
) -> Evidence:
    """Samples for memorization-4: rank correlation of score and atypicality, candidates minus external points.

    Args:
        scores: subsets C and E.
        atypicality: of the same points, same shapes.
        seed: of bootstrap and permutation.
        n_boot: replicates.
    """
    rng = np.random.default_rng([seed, 4])
    shuffled = rng.permuted(atypicality["C"], axis=1)
    found = []
    for candidates in (atypicality["C"], shuffled):
        own = _rank_replicates(scores["C"], candidates, n_boot, rng)
        found.append(own - _rank_replicates(scores["E"], atypicality["E"], n_boot, rng))
    return Evidence({"rank_correlation": found[0]}, {"shuffled_atypicality": found[1]})


def training_time(scores: Mapping[int, Subsets], *, seed: int = 0, n_boot: int = N_BOOT) -> Evidence:
    """Samples for memorization-5: does the excess grow over the checkpoints?

    Args:
        scores: subsets C and E by step of training.
        seed: of the bootstrap.
        n_boot: replicates.
    """
    by_step = [scores[step] for step in sorted(scores)]
    candidates, external = (np.stack([s[name] for s in by_step], axis=1) for name in "CE")
    one, other = halves(external)
    grown, null = (
        excess_replicates(a, b, seed=seed, n_boot=n_boot) for a, b in ((candidates, external), (one, other))
    )
    return Evidence(
        {
            "trend": grown[:, -1] - grown[:, 0],
            "order": _rising(candidates.mean(axis=2) - external.mean(axis=2)),
        },
        {
            "external_points": null[:, -1] - null[:, 0],
            "external_order": _rising(one.mean(axis=2) - other.mean(axis=2)),
        },
    )


# ----------------------------------------------------------------------------------------------------------- layers


def depth(table: LayerMem, *, seed: int = 0, n_boot: int = N_BOOT) -> Evidence:
    """Samples for memorization-11: rank correlation of excess LayerMem with depth.

    Args:
        table: with external points as control.
        seed: of the bootstrap.
        n_boot: replicates.
    """
    null = LayerMem(table.layers, *halves(control_of(table)))
    found = [correlate_rows(t.bootstrap(n_boot=n_boot, seed=seed)) for t in (table, null)]
    return Evidence({"depth": found[0]}, {"external_points": found[1]})


def gain_per_layer(table: LayerMem, chosen_by: LayerMem, *, seed: int = 0, n_boot: int = N_BOOT) -> Evidence:
    """Samples for memorization-12: at which layers do the most memorized points gain more than nobody's points?

    Args:
        table: LayerMem that is measured, with external points as control.
        chosen_by: the same from other augmentation draws; its last layer chooses the most memorized halves.
        seed: of the bootstrap.
        n_boot: replicates.
    """
    candidates = _upper_half(table.scores, chosen_by.scores)
    external = _upper_half(control_of(table), control_of(chosen_by))
    pieces, choosers = halves(control_of(table)), halves(control_of(chosen_by))
    nulls = [_upper_half(piece, chooser) for piece, chooser in zip(pieces, choosers, strict=True)]
    gains = [
        _gains(a, b, seed=seed, n_boot=n_boot) for a, b in ((candidates, external), (nulls[0], nulls[1]))
    ]
    above = [(np.quantile(gain, 0.025, axis=0) > 0).astype(np.float64) for gain in gains]
    return Evidence({"layers_with_gain": above[0]}, {"external_halves": above[1]})


def near_and_far(table: LayerMem, independent: Floats) -> Evidence:
    """Samples for memorization-15: overlap of the most memorized points between near layers minus between far ones.

    Args:
        table: LayerMem of the candidates, with external points as control.
        independent: scores of external points (pairs, layers, points), every layer with its own draws.
    """
    kinds = {
        "near_minus_far": table.scores,
        "external_same_draws": control_of(table),
        "external_independent_draws": independent,
    }
    found = {name: np.array([_near_minus_far(s) for s in scores]) for name, scores in kinds.items()}
    return Evidence({"near_minus_far": found.pop("near_minus_far")}, found)


def distances(tables: Mapping[str, LayerMem], *, seed: int = 0) -> Evidence:
    """Samples for memorization-25: do layers rank alike, and is LayerMem equal, under several distances?

    Args:
        tables: by distance; "l2" and "cosine" among them.
        seed: of the permutation of layers.
    """
    means = {name: table.scores.mean(axis=2) for name, table in tables.items()}  # (pairs, layers)
    others = [name for name in means if name != "l2"]
    rng = np.random.default_rng([seed, 25])
    mixed = {name: rng.permuted(means[name], axis=1) for name in others}
    last, first = means["cosine"][:, -1], means["cosine"][:, 0]
    return Evidence(
        {
            "ranking": np.min([spearman(means["l2"], means[name]) for name in others], axis=0),
            "equal_values": last / means["l2"][:, -1],
        },
        {
            "permuted_layers": np.min([spearman(means["l2"], mixed[name]) for name in others], axis=0),
            "first_layer": first / means["l2"][:, -1],
        },
    )


def _has_excess(scores: Subsets) -> float:
    """1 if the interval of the first pair's excess, over points, lies above 0."""
    low, _ = bootstrap_difference(scores["C"][0], scores["E"][0], n_boot=N_BOOT)
    return float(low > 0)


def _ordered(scores: Subsets) -> Floats:
    """1 for every pair whose tests (those whose subsets are there) and area come out as claimed."""
    found = []
    for run in range(len(scores["C"])):
        tests = compare_subsets({name: values[run] for name, values in scores.items()}, n_boot=100)
        low_p = all(row.p_holm < LEVEL for row in tests.rows if not row.is_control)
        found.append(float(low_p and tests["C", "E"].auc > LEAST_AUC))
    return np.array(found)


def _rising(excess: Floats) -> Floats:
    """1 for every pair (row) whose excess follows the order of the checkpoints."""
    return (correlate_rows(excess) >= TREND - 1e-12).astype(np.float64)


def _rank_replicates(scores: Floats, other: Floats, n_boot: int, rng: np.random.Generator) -> Floats:
    """Bootstrap over points of the rank correlation, averaged over pairs, (n_boot,)."""
    total = np.zeros(n_boot)
    for a, b in zip(scores, other, strict=True):
        drawn = rng.integers(len(a), size=(n_boot, len(a)))
        total += spearman(a[drawn], b[drawn])
    return total / len(scores)


def _upper_half(scores: Floats, chooser: Floats) -> Floats:
    """Scores (pairs, layers, points) of the half that scores highest at the chooser's last layer."""
    half = scores.shape[2] // 2
    top = np.argsort(-chooser[:, -1], axis=1, kind="stable")[:, :half]
    return np.take_along_axis(scores, top[:, None, :], axis=2)


def _gains(candidates: Floats, external: Floats, *, seed: int, n_boot: int) -> Floats:
    """Replicates of the difference of gains per layer; before the first layer there is nothing, so 0."""
    values = excess_replicates(candidates, external, seed=seed, n_boot=n_boot)
    return np.diff(values, axis=1, prepend=0.0)


def _near_minus_far(scores: Floats) -> float:
    """Mean overlap of the top fifth at layer distance 1 minus at distance `FAR` or more, scores (layers, points)."""
    overlap = overlap_matrix(scores, max(1, scores.shape[1] // TOP))
    apart = np.abs(np.subtract.outer(np.arange(len(scores)), np.arange(len(scores))))
    return float(overlap[apart == 1].mean() - overlap[apart >= FAR].mean())
