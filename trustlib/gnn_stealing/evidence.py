"""Samples for the chapter's claims: one value per seed and statistic, and the controls beside them.

What each statistic is, and the rule that it is put through, stands in ``book/claims.yml``; nothing is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trustlib.gnn_stealing.evidence_attacks import ATTACKS, Attack, Kind, Loot, View, answers, measures, steal
from trustlib.gnn_stealing.evidence_edges import random_edges, rebuilt, share_alike
from trustlib.gnn_stealing.evidence_spectral import (
    dense_spco,
    form_differences,
    form_timings,
    largest_component,
    size_timings,
    view_changes,
)
from trustlib.gnn_stealing.evidence_studies import (
    SIGMAS,
    budget_curve,
    defence_study,
    grid,
    mismatch_study,
    noise_study,
    response_study,
    structure_study,
)
from trustlib.gnn_stealing.evidence_tables import (
    beside,
    dial_of,
    difference,
    matrix_of,
    paired,
    summarise,
    view_gains,
)
from trustlib.gnn_stealing.evidence_views import Planes, budget_planes, response_planes
from trustlib.gnn_stealing.evidence_worlds import Laboratory, Protocol, World
from trustlib.gnn_stealing.reconstruction import edge_quality

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ATTACKS", "Attack", "Evidence", "Kind", "Laboratory", "Loot", "Planes", "Protocol", "View", "World",
    "accuracy_gain", "answers", "beside", "budget_curve", "budget_planes", "defence_study", "dense_spco", "dial_of",
    "difference", "edge_quality", "encoder_labels", "fewer_queries", "fidelity_gain", "form_differences",
    "form_timings", "grid", "largest_component", "leakage", "matrix_of", "measures", "mismatch_study", "noise_study",
    "noise_works", "paired",
    "random_edges", "rebuilt", "response_planes", "response_study", "same_result", "selectivity", "share_alike",
    "size_timings",
    "spectral_gain", "steal", "structure", "structure_study", "summarise", "transfer", "view_changes", "view_gains",
    "worth_querying",
]  # fmt: skip

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Samples of one claim.

    Args:
        parts: samples by the name of the statistic.
        controls: samples by the name of the control.
    """

    parts: dict[str, Vector]
    controls: dict[str, Vector]


def fidelity_gain(frame: pd.DataFrame) -> Evidence:
    """Samples for gnn_stealing-1: contrastive minus RMSE, by seed and by setting.

    Args:
        frame: result of `grid`.
    """
    own, null = (difference(frame, name, "rmse") for name in ("contrastive", "shuffled"))
    return Evidence(
        {"pooled": _by(own, "seed"), "every_setting": _by(own, "graph", "architecture")},
        {"shuffled": _by(null, "seed"), "shuffled_settings": _by(null, "graph", "architecture")},
    )


def accuracy_gain(frame: pd.DataFrame) -> Evidence:
    """Samples for gnn_stealing-2: contrastive minus RMSE, by seed and by setting, and minus the target.

    Args:
        frame: result of `grid`.
    """
    rows = frame[frame["attack"] == "contrastive"]
    above = rows.assign(difference=rows["accuracy"] - rows["target_accuracy"])
    oracle = rows.assign(difference=1 - rows["target_accuracy"])
    own, null = (difference(frame, name, "rmse", "accuracy") for name in ("contrastive", "shuffled"))
    return Evidence(
        {
            "pooled": _by(own, "seed"),
            "every_setting": _by(own, "graph", "architecture"),
            "not_above_target": _by(above, "seed"),
        },
        {
            "shuffled": _by(null, "seed"),
            "shuffled_settings": _by(null, "graph", "architecture"),
            "knows_the_answers": _by(oracle, "seed"),
        },
    )


def fewer_queries(curve: pd.DataFrame) -> Evidence:
    """Samples for gnn_stealing-3: log ratio of the budgets at equal fidelity.

    Args:
        curve: result of `budget_curve`.
    """
    own, null = [], []
    for _, rows in curve.groupby("seed", sort=True):
        table = rows.pivot(index="budget", columns="attack", values="fidelity").sort_index()
        budgets = table.index.to_numpy(dtype=float)
        rmse, contrastive, shuffled = (table[n].to_numpy() for n in ("rmse", "contrastive", "shuffled"))
        own.append(log_budget_ratio(budgets, rmse, contrastive))
        null.append(log_budget_ratio(budgets, rmse, shuffled))
    return Evidence({"log_budget_ratio": np.array(own)}, {"shuffled": np.array(null)})


def log_budget_ratio(budgets: Vector, first: Vector, second: Vector) -> float:
    """log of the budget that the first curve needs over that of the second, at the smaller of their last values.

    Both curves are made monotone first; between budgets, fidelity is linear in the logarithm of the budget.

    Args:
        budgets: ascending, > 0, shape (k,).
        first: fidelities, shape (k,).
        second: fidelities, shape (k,).

    Returns:
        In [-log(k_max / k_min), log(k_max / k_min)]; 0 for equal curves.

    Example:
        >>> log_budget_ratio(np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.3, 0.3]))
        1.3862943611198906
    """
    from sklearn.isotonic import IsotonicRegression

    log = np.log(budgets)
    curves = [IsotonicRegression().fit_transform(log, curve) for curve in (first, second)]
    level = min(curve[-1] for curve in curves)
    needed = []
    for curve in curves:
        above = int(np.argmax(curve >= level - 1e-12))
        if above == 0:
            needed.append(log[0])
            continue
        share = (level - curve[above - 1]) / (curve[above] - curve[above - 1])
        needed.append(log[above - 1] + share * (log[above] - log[above - 1]))
    return float(needed[0] - needed[1])


def spectral_gain(frame: pd.DataFrame) -> Evidence:
    """Samples for gnn_stealing-4: what spectral weights add to edge dropping and feature masks.

    Args:
        frame: result of `grid`.
    """
    own, null = (_by(difference(frame, name, "drop"), "seed") for name in ("contrastive", "signs"))
    return Evidence({"gain": own}, {"random_signs": null})


def encoder_labels(lab: Laboratory, graph: str) -> Evidence:
    """Samples for gnn_stealing-5: change of the encoder's weights when the query labels are permuted.

    Args:
        lab: the protocol with its targets.
        graph: which graph.
    """
    own: list[float] = []
    null: list[float] = []
    for architecture in lab.protocol.architectures:
        for index in list(lab.protocol.focus)[:2]:
            world = lab.world(graph, architecture, index)
            query = world.cut(lab.protocol.budget)
            permuted = query.clone()
            permuted.y = query.y[torch.randperm(len(query.y), generator=torch.Generator().manual_seed(1))]
            for name, found in (("contrastive", own), ("labels", null)):
                pair = [
                    steal(world, ATTACKS[name], lab.protocol, known=known).encoder
                    for known in (query, permuted)
                ]
                found.append(_largest_difference(*(model.state_dict() for model in pair)))
    return Evidence({"weight_change": np.array(own)}, {"labels_only": np.array(null)})


def leakage(frame: pd.DataFrame, sparse_graph: str) -> Evidence:
    """Samples for gnn_stealing-6: order of the responses, and what the weakest one gives away.

    Args:
        frame: result of `response_study`.
        sparse_graph: where embeddings are compared with projections.
    """
    table = frame.pivot(index=["graph", "seed"], columns="response", values="fidelity")
    sparse = table.loc[sparse_graph]

    def gap(first: str, second: str) -> Vector:
        """Mean over graphs by seed."""
        found: Vector = (table[first] - table[second]).groupby(level="seed").mean().to_numpy()
        return found

    return Evidence(
        {
            "embedding_over_prediction": gap("embedding", "posterior"),
            "prediction_over_projection": gap("posterior", "projection"),
            "embedding_over_projection": (sparse["embedding"] - sparse["projection"]).to_numpy(),
            "projection_leaks": gap("projection", "shuffled_projection"),
        },
        {
            "predictions_twice": gap("posterior_again", "posterior"),
            "predictions_once_more": gap("posterior", "posterior_once_more"),
            "gaussian_embedding": (sparse["gaussian_embedding"] - sparse["projection"]).to_numpy(),
            "gaussian_projection": gap("gaussian_projection", "shuffled_projection"),
        },
    )


def transfer(frame: pd.DataFrame) -> Evidence:
    """Samples for gnn_stealing-7: different architectures minus equal ones.

    Args:
        frame: result of `mismatch_study`.
    """
    same = frame["architecture"] == frame["surrogate"]
    true = frame["attack"] == "contrastive"
    equal = _mean_by_seed(frame[same & true])
    other, null = _mean_by_seed(frame[~same & true]), _mean_by_seed(frame[~same & ~true])
    return Evidence({"mismatch": other - equal}, {"shuffled": null - equal})


def structure(frame: pd.DataFrame) -> Evidence:
    """Samples for gnn_stealing-8: rebuilt edges against no edges, and against the true ones.

    Args:
        frame: result of `structure_study`.
    """
    table = frame.pivot(index="seed", columns="edges", values="fidelity")
    return Evidence(
        {
            "works": (table["rebuilt"] - table["none"]).to_numpy(),
            "below_type_one": (table["true"] - table["rebuilt"]).to_numpy(),
        },
        {
            "random_graph": (table["random"] - table["none"]).to_numpy(),
            "true_edges": (table["true"] - table["handed_over"]).to_numpy(),
        },
    )


def worth_querying(frame: pd.DataFrame) -> Evidence:
    """Samples for gnn_stealing-9: contrastive minus labels only, by seed and by graph.

    Args:
        frame: result of `grid`.
    """
    own, null = (difference(frame, name, "labels") for name in ("contrastive", "shuffled"))
    return Evidence(
        {"pooled": _by(own, "seed"), "every_graph": _by(own, "graph")},
        {"shuffled": _by(null, "seed"), "shuffled_graphs": _by(null, "graph")},
    )


def selectivity(lab: Laboratory, graph: str) -> Evidence:
    """Samples for gnn_stealing-10: how much the view prefers high frequencies, alone and against a random drop.

    Args:
        lab: the protocol with its splits.
        graph: which graph.
    """
    ratios = [
        {name: change.ratio for name, change in changes.items()}
        for changes in (
            view_changes(*largest_component(lab, graph, index), seed=index) for index in lab.protocol.focus
        )
    ]

    def samples(view: str, by: str | None = None) -> Vector:
        return np.array([ratio[view] / (1.0 if by is None else ratio[by]) for ratio in ratios])

    return Evidence(
        {"high_over_low": samples("spectral"), "selectivity": samples("spectral", "drop")},
        {"drop": samples("drop"), "another_drop": samples("another_drop", "drop")},
    )


def same_result(graphs: list[tuple[Tensor, int]], timed: tuple[Tensor, int], *, repetitions: int) -> Evidence:
    """Samples for gnn_stealing-11: difference and speed of the edge form.

    Args:
        graphs: edges and sizes for the difference.
        timed: edges and size for the time.
        repetitions: of the timing.
    """
    times = form_timings(*timed, repetitions=repetitions)
    return Evidence(
        {
            "difference": form_differences(graphs, sinkhorn_iters=3),
            "speedup": (times["dense"] / times["edges"]).to_numpy(),
        },
        {
            "one_scaling_less": form_differences(graphs, sinkhorn_iters=2),
            "dense_again": (times["dense"] / times["dense_again"]).to_numpy(),
        },
    )


def noise_works(frame: pd.DataFrame) -> Evidence:
    """Samples for gnn_stealing-12: what noise takes from the attack.

    Args:
        frame: result of `noise_study`.
    """
    found = {}
    for control, rows in frame.groupby("control", sort=True):
        table = rows.pivot(index="seed", columns="sigma", values="fidelity").sort_index(axis=1)
        fall = (table[SIGMAS[0]] - table[SIGMAS[-1]]).to_numpy()
        found[bool(control)] = (fall, np.array([_spearman(row) for row in table.to_numpy()]))
    (fall, trend), (other, other_trend) = found[False], found[True]
    return Evidence(
        {"fall": fall, "trend": trend}, {"other_trainings": other, "other_trainings_trend": other_trend}
    )


# ------------------------------------------------------------------------------------------------------ statistics


def _by(frame: pd.DataFrame, *keys: str) -> Vector:
    """Means of the column difference per value of the keys."""
    found: Vector = frame.groupby(list(keys), sort=False)["difference"].mean().to_numpy()
    return found


def _mean_by_seed(frame: pd.DataFrame) -> Vector:
    """Mean fidelity of every seed."""
    found: Vector = frame.groupby("seed", sort=True)["fidelity"].mean().to_numpy()
    return found


def _spearman(values: Vector) -> float:
    """Rank correlation of values with their position; 0 if they are all equal."""
    from scipy.stats import rankdata

    ranks = rankdata(values)
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])


def _largest_difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """Largest absolute difference between two sets of weights."""
    return max(float((first[name] - second[name]).abs().max()) for name in first)
