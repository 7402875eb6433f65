"""Studies of units: samples, controls and tables from measured responses; nothing is decided or trained here.

What each statistic is, and the rule that it is put through, stands in ``book/claims.yml``. Every study takes one
`UnitResponses` per encoder pair and returns a `StudyEvidence`, whose samples and controls go to ``claims.check``.
Units are compared with classes in `unit_class_evidence`, changed in `insertion_evidence` and `intervention_evidence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.evidence import Evidence
from trustlib.memorization.evidence_statistics import spearman
from trustlib.memorization.unit_responses import UnitResponses, layer_of
from trustlib.memorization.units import UnitMem, unitmem_from_activations

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
SETS = ("members", "heldout", "untrained", "untrained_heldout")  # what a UnitMem number is shown beside


@dataclass(frozen=True)
class StudyEvidence(Evidence):
    """Samples of one claim with the numbers behind them.

    Args:
        samples: one value per unit that varies, by the name of the statistic.
        controls: the same where the effect is absent, by the name of the control.
        table: the study as rows, for figures and text.
    """

    table: pd.DataFrame


def high_units(responses: Sequence[UnitResponses], *, threshold: float = 0.8, seed: int = 0) -> StudyEvidence:
    """Samples for memorization-18: highly selective units in every layer, and what held-out images show.

    beyond_held_out = mean over layers of (mean UnitMem on members - mean UnitMem on held-out images).

    Args:
        responses: one per encoder pair, of the same layers.
        threshold: UnitMem above which a unit counts as high, in (0, 1).
        seed: of the half-normal control.

    Returns:
        Samples layers_with_high_units (one per layer: 1 if every encoder has a high unit there) and beyond_held_out
        (one per pair); controls half_normal (the first from absolute values of unrelated normal draws) and untrained
        (the second from the untrained network). Table: encoder, layer, points (one of ``SETS``), mean, largest,
        share_high, dead (shares of units), units, n.

    Raises:
        ValueError: no responses, or encoders with other layers.

    Example:
        >>> rows = {"a": np.array([[9.5], [0.5]])}
        >>> high_units([UnitResponses(*[rows] * 7, n_views=1)] * 2).samples
        {'layers_with_high_units': array([1.]), 'beyond_held_out': array([0., 0.])}

    Source: Wang et al., NeurIPS 2024, table 34; the held-out and untrained networks are ours.
    """
    layers = common_layers(responses)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be in (0, 1), got {threshold}")
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    random_high = np.ones((len(responses), len(layers)))
    for number, found in enumerate(responses):
        for place, layer in enumerate(layers):
            for points in SETS:
                result = unitmem_from_activations(getattr(found, points)[layer])
                rows.append(
                    {"encoder": number, "layer": layer, "points": points} | _summary(result, threshold)
                )
            normal = np.abs(rng.standard_normal(found.members[layer].shape))
            random_high[number, place] = unitmem_from_activations(normal).scores.max() > threshold
    table = table_of(rows)
    cube = {value: _cube(table, value, len(responses), layers) for value in ("mean", "largest")}
    seen, unseen, fresh, fresh_unseen = cube["mean"]  # each (encoders, layers)
    return StudyEvidence(
        {
            "layers_with_high_units": (cube["largest"][0] > threshold).all(axis=0).astype(float),
            "beyond_held_out": (seen - unseen).mean(axis=1),
        },
        {
            "half_normal": random_high.all(axis=0).astype(float),
            "untrained": (fresh - fresh_unseen).mean(axis=1),
        },
        table,
    )


def owners(
    responses: Sequence[UnitResponses],
    scores: Sequence[ArrayLike],
    *,
    layer: str | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
) -> StudyEvidence:
    """Samples for memorization-19: do the most memorized points own the most selective units?

    correlation = Spearman(UnitMem(u), SSLMem(point that excites u most)) over the units that fire, minus its mean over
    permutations of SSLMem among the points. One point may own many units, so units are not independent; permuting
    points keeps that structure.

    Args:
        responses: one per encoder pair; the members are the points that have scores.
        scores: SSLMem of the members, one (N,) per pair, from *other* views than the responses.
        layer: whose units; None takes the last one.
        n_permutations: of the points, >= 1.
        seed: of the permutations.

    Returns:
        Sample correlation, one per pair; control permuted_points (the same with SSLMem permuted once). Table: encoder,
        layer (all), correlation, permuted_mean, permuted_sd, p (one-sided, by permutation), units, owners (different
        points that own a unit), memorized and others (mean UnitMem of units owned by the more and by the less
        memorized half of the owners).

    Raises:
        ValueError: scores of another length, or fewer than three units that fire.

    Example:
        >>> rows = {"a": np.array([[9.0, 1.0, 1.0], [1.0, 4.0, 1.0], [1.0, 1.0, 2.0]])}
        >>> found = owners([UnitResponses(*[rows] * 7, n_views=1)], [[0.9, 0.5, 0.1]])
        >>> found.table["correlation"].round(3).tolist()
        [1.0]

    Source: Wang et al., NeurIPS 2024, tables 11 and 12; permuting points instead of units is ours.
    """
    layers = common_layers(responses)
    name = layer_of(responses[0], layer)
    values = [np.asarray(value, dtype=np.float64) for value in scores]
    sizes, wanted = [v.shape for v in values], [(found.n,) for found in responses]
    if sizes != wanted or n_permutations < 1:
        raise ValueError(
            f"scores must hold one SSLMem per member, shapes {wanted}, got {sizes}; n_permutations >= 1, got "
            f"{n_permutations}"
        )
    rng = np.random.default_rng(seed)
    rows, sample, control = [], [], []
    for number, (found, value) in enumerate(zip(responses, values, strict=True)):
        orders = np.argsort(rng.random((n_permutations + 1, found.n)), axis=1)
        for one in layers:
            row, other = _owned(unitmem_from_activations(found.members[one]), value, orders)
            rows.append({"encoder": number, "layer": one} | row)
            if one == name:
                sample.append(row["correlation"] - row["permuted_mean"])
                control.append(other - row["permuted_mean"])
    return StudyEvidence(
        {"correlation": np.array(sample)}, {"permuted_points": np.array(control)}, table_of(rows)
    )


def size_dependence(
    responses: Sequence[UnitResponses], *, layer: str | None = None, seed: int = 0
) -> StudyEvidence:
    """Samples for memorization-23: mean UnitMem on all points and on parts of them.

    growth = mean UnitMem on N points - mean UnitMem on N / 16 points, the latter averaged over 16 disjoint random
    parts.

    Args:
        responses: one per encoder; N >= 32.
        layer: whose units; None takes the last one.
        seed: of the parts and the exponential draws.

    Returns:
        Sample growth, one per encoder; control exponential_activations (unrelated exponential draws of the same shape).
        Table: encoder, points ("members", "heldout", "untrained" or "exponential"), n, unitmem.

    Raises:
        ValueError: fewer than 32 points.

    Example:
        >>> rows = {"a": np.ones((32, 2))}
        >>> size_dependence([UnitResponses(*[rows] * 7, n_views=1)]).samples["growth"]
        array([0.])

    Source: Wang et al., NeurIPS 2024, figure 6; the exponential reference is ours.
    """
    name = layer_of(responses[0], layer) if common_layers(responses) else ""
    fewest = min(found.n for found in responses)
    if fewest < 2 * PARTS[-1]:
        raise ValueError(f"size_dependence needs at least {2 * PARTS[-1]} points, got {fewest}")
    rng = np.random.default_rng(seed)
    rows = []
    for number, found in enumerate(responses):
        sets = {points: getattr(found, points)[name] for points in SETS[:3]}
        sets["exponential"] = rng.standard_exponential(found.members[name].shape)
        for points, mu in sets.items():
            order = rng.permutation(found.n)
            for parts in PARTS:
                blocks = [order[k::parts][: found.n // parts] for k in range(parts)]
                value = float(np.mean([mean_unitmem(mu[block]) for block in blocks]))
                rows.append({"encoder": number, "points": points, "n": len(blocks[0]), "unitmem": value})
    table = table_of(rows)
    ends = table.groupby(["points", "encoder"], sort=True)["unitmem"].agg(["first", "last"])
    growth = ends["first"] - ends["last"]
    return StudyEvidence(
        {"growth": growth.loc["members"].to_numpy()},
        {"exponential_activations": growth.loc["exponential"].to_numpy()},
        table,
    )


PARTS = (1, 2, 4, 8, 16)  # into how many parts the points are cut


def augmentation_average(responses: Sequence[UnitResponses]) -> StudyEvidence:
    """Samples for memorization-24: mean UnitMem of all units with views and without.

    Args:
        responses: one per encoder.

    Returns:
        Sample with_minus_without, one per encoder; control two_sets_of_draws (views minus other views). Table: encoder,
        layer, unitmem (with views), redrawn (other views), clean (without), heldout, heldout_clean, units.

    Raises:
        ValueError: no responses, or encoders with other layers.

    Example:
        >>> rows, clean = {"a": np.array([[3.0], [1.0]])}, {"a": np.array([[1.0], [1.0]])}
        >>> found = augmentation_average([UnitResponses(rows, rows, clean, rows, clean, rows, rows, n_views=1)])
        >>> found.samples, found.controls
        ({'with_minus_without': array([0.5])}, {'two_sets_of_draws': array([0.])})

    Source: Wang et al., NeurIPS 2024, figure 5.
    """
    layers = common_layers(responses)
    kinds = {name: name for name in ("redrawn", "clean", "heldout", "heldout_clean")} | {"members": "unitmem"}
    rows = [
        {"encoder": number, "layer": layer, "units": found.members[layer].shape[1]}
        | {column: mean_unitmem(getattr(found, kind)[layer]) for kind, column in kinds.items()}
        for number, found in enumerate(responses)
        for layer in layers
    ]
    table = table_of(rows)
    columns = list(kinds.values())
    weighted = table[columns].mul(table["units"], axis=0).groupby(table["encoder"]).sum()
    means = weighted.div(table.groupby("encoder")["units"].sum(), axis=0)
    return StudyEvidence(
        {"with_minus_without": (means["unitmem"] - means["clean"]).to_numpy()},
        {"two_sets_of_draws": (means["unitmem"] - means["redrawn"]).to_numpy()},
        table,
    )


# ------------------------------------------------------------------------------------------------------ statistics


def common_layers(responses: Sequence[UnitResponses]) -> tuple[str, ...]:
    """The layers of all responses, which must be the same."""
    if not len(responses):
        raise ValueError("a study of units needs the responses of at least one encoder, got none")
    layers = responses[0].layers
    for number, found in enumerate(responses):
        if found.layers != layers:
            raise ValueError(
                f"encoder {number} has layers {found.layers}, the first one {layers}; use the same"
            )
    return layers


def mean_unitmem(mu: Floats) -> float:
    """Mean UnitMem of the units, from (N, U)."""
    return float(unitmem_from_activations(mu).scores.mean())


def _summary(result: UnitMem, threshold: float) -> dict[str, float]:
    """One layer in numbers."""
    scores = result.scores
    return {
        "mean": float(scores.mean()), "largest": float(scores.max()), "share_high": float((scores > threshold).mean()),
        "dead": float(result.dead.mean()), "units": len(scores), "n": result.n,
    }  # fmt: skip


def _cube(table: pd.DataFrame, value: str, encoders: int, layers: Sequence[str]) -> Floats:
    """A column as (sets, encoders, layers), from rows ordered by encoder, layer, set."""
    return np.moveaxis(table[value].to_numpy().reshape(encoders, len(layers), len(SETS)), 2, 0)


def _owned(result: UnitMem, scores: Floats, orders: NDArray[np.int64]) -> tuple[dict[str, float], float]:
    """Correlation of UnitMem and owners' scores beside permutations; and one more permutation's correlation."""
    alive = ~result.dead
    units, points = result.scores[alive], result.argmax[alive]
    if len(units) < 3:
        raise ValueError(f"owners needs at least 3 units that fire, got {len(units)} of {len(result.scores)}")
    own = float(spearman(units[None], scores[None, points])[0])
    permuted = spearman(units[None], scores[orders][:, points])
    null, other = permuted[:-1], float(permuted[-1])
    high = scores[points] > np.median(scores[points])
    halves = [float(units[part].mean()) if part.any() else float("nan") for part in (high, ~high)]
    row = {
        "correlation": own, "permuted_mean": float(null.mean()), "permuted_sd": float(null.std()),
        "p": float((1 + (null >= own).sum()) / (1 + len(null))), "units": len(units),
        "owners": len(np.unique(points)), "memorized": halves[0], "others": halves[1],
    }  # fmt: skip
    return row, other


def table_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table."""
    import pandas as pd

    return pd.DataFrame(rows)
