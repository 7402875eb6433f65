"""Studies of units and classes: UnitMem beside ClassMem, and UnitMem on the points of one class.

What each statistic is, and the rule that it is put through, stands in ``book/claims.yml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.classes import classmem_from_activations
from trustlib.memorization.unit_evidence import StudyEvidence, common_layers, mean_unitmem, table_of
from trustlib.memorization.unit_responses import UnitResponses, layer_of
from trustlib.memorization.units import unitmem_from_activations

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
DRAWS = 8  # random choices of N points


def points_and_classes(
    ssl: Sequence[UnitResponses],
    supervised: Sequence[UnitResponses],
    labels: Sequence[ArrayLike],
    heldout_labels: Sequence[ArrayLike],
    *,
    seed: int = 0,
) -> StudyEvidence:
    """Samples for memorization-20: units that react to single points, and units that react to classes.

    ClassMem is taken on members without augmentation, UnitMem on their views; each score is compared between encoders
    of the same images only, so that numbers of points and classes are equal.

    Args:
        ssl: responses of self-supervised encoders, one per seed.
        supervised: of supervised encoders trained on the same members, one per seed, of the same layers; their
            untrained networks must differ from those of ``ssl``.
        labels: classes of the members, one (N,) per seed, at least two classes.
        heldout_labels: classes of the held-out images, likewise.
        seed: of the permuted labels.

    Returns:
        Samples classmem_supervised and unitmem_ssl (one per seed, last layer) and points_over_classes (one per layer);
        controls shuffled_labels, untrained_pair, class_means and unrelated_activations. Table, one row per unit: seed,
        training ("self-supervised" or "supervised"), layer, unit, unitmem, unitmem_heldout, unitmem_untrained,
        classmem, selectivity (the class quotient on held-out images).

    Raises:
        ValueError: numbers of seeds, layers or labels that do not fit.

    Example:
        >>> rows = {"a": np.array([[3.0], [1.0]])}
        >>> one = [UnitResponses(*[rows] * 7, n_views=1)]
        >>> points_and_classes(one, one, [[0, 1]], [[0, 1]]).samples["points_over_classes"]
        array([0.])

    Source: Wang et al., NeurIPS 2024, figures 2 and 3.
    """
    layers = common_layers([*ssl, *supervised])
    if not len(ssl) == len(supervised) == len(labels) == len(heldout_labels):
        raise ValueError(
            "ssl, supervised, labels and heldout_labels need one entry per seed, got "
            f"{len(ssl)}, {len(supervised)}, {len(labels)}, {len(heldout_labels)}"
        )
    rng = np.random.default_rng(seed)
    frames, shuffled, concept, unrelated = [], [], [], []
    for number, classes in enumerate(labels):
        pair = {"self-supervised": ssl[number], "supervised": supervised[number]}
        for training, found in pair.items():
            frames.append(_unit_rows(found, classes, heldout_labels[number], seed=number, training=training))
        order = rng.permutation(np.asarray(classes))
        shuffled.append([_classmem(found.clean[layers[-1]], order) for found in pair.values()])
        concept.append([_of_class_means(ssl[number].members[one], classes) for one in layers])
        unrelated.append([_of_unrelated(ssl[number].members[one], classes, rng) for one in layers])
    table = _concatenated(frames)
    last = (
        table[table["layer"] == layers[-1]].groupby(["training", "seed"], sort=True).mean(numeric_only=True)
    )
    own, other = last.loc["self-supervised"], last.loc["supervised"]
    rest = (
        table[table["training"] == "self-supervised"]
        .groupby("layer")
        .mean(numeric_only=True)
        .loc[list(layers)]
    )
    return StudyEvidence(
        {
            "classmem_supervised": (other["classmem"] - own["classmem"]).to_numpy(),
            "unitmem_ssl": (own["unitmem"] - other["unitmem"]).to_numpy(),
            "points_over_classes": (rest["unitmem"] - rest["classmem"]).to_numpy(),
        },
        {
            "shuffled_labels": np.diff(np.array(shuffled), axis=1)[:, 0],
            "untrained_pair": (own["unitmem_untrained"] - other["unitmem_untrained"]).to_numpy(),
            "class_means": np.array(concept).mean(axis=0),
            "unrelated_activations": np.array(unrelated).mean(axis=0),
        },
        table,
    )


def class_restriction(
    responses: Sequence[UnitResponses],
    labels: Sequence[ArrayLike],
    supervised: Sequence[ArrayLike],
    supervised_labels: Sequence[ArrayLike],
    *,
    heldout_labels: Sequence[ArrayLike] | None = None,
    layer: str | None = None,
    seed: int = 0,
) -> StudyEvidence:
    """Samples for memorization-28: UnitMem on the points of one class and on as many points of all classes.

    all_minus_one_class = mean UnitMem on N points of all classes - on N points of the class, N the size of the smallest
    class; where a class has more points, and for all classes, the mean over ``DRAWS`` random choices of N.

    Args:
        responses: one per encoder.
        labels: classes of the members, one (n,) per encoder, the same classes for all.
        supervised: responses of one or more supervised encoders' last convolution to held-out images without views,
            from `clean_responses`, one (n, U) each, for the control.
        supervised_labels: classes of those images, one (n,) per encoder.
        heldout_labels: classes of the held-out images of ``responses``, to show the same on images never seen.
        layer: whose units; None takes the last one.
        seed: of the choices and permutations.

    Returns:
        Sample all_minus_one_class, one per class; control classmem (mean class selectivity with the true labels minus
        with permuted ones, averaged over the supervised encoders, as many permutations as classes) and class_means (the
        sample's own statistic after every response was replaced by the mean of its class). Table: encoder,
        points ("members" or "heldout"), label, n, all_classes, one_class, difference.

    Raises:
        ValueError: labels that do not fit, or a class with fewer than two points.

    Example:
        >>> rows = {"a": np.tile([[3.0], [1.0]], (2, 1))}
        >>> one = [UnitResponses(*[rows] * 7, n_views=1)]
        >>> found = class_restriction(one, [[0, 0, 1, 1]], [rows["a"]], [[0, 0, 1, 1]])
        >>> found.table["one_class"].tolist()
        [0.5, 0.5]

    Source: Wang et al., NeurIPS 2024, table 34 (all classes against cars only).
    """
    name = layer_of(responses[0], layer) if common_layers(responses) else ""
    if not len(supervised) or len(supervised) != len(supervised_labels):
        raise ValueError(
            f"supervised_labels must fit the supervised encoders, got {len(supervised_labels)} for {len(supervised)}"
        )
    rng = np.random.default_rng(seed)
    sets = {"members": labels} | ({} if heldout_labels is None else {"heldout": heldout_labels})
    rows: list[dict[str, Any]] = []
    for points, classes in sets.items():
        for number, (found, own) in enumerate(zip(responses, classes, strict=True)):
            known = {"encoder": number, "points": points}
            rows += [known | row for row in _restricted(getattr(found, points)[name], own, rng)]
    table = table_of(rows)
    known_classes = [
        (np.asarray(mu), np.asarray(own)) for mu, own in zip(supervised, supervised_labels, strict=True)
    ]
    members = table[table["points"] == "members"].groupby("label", sort=True)["difference"].mean()
    gain = [
        [_classmem(mu, own) - _classmem(mu, rng.permutation(own)) for mu, own in known_classes]
        for _ in members
    ]
    concepts = [
        row
        for found, own in zip(responses, labels, strict=True)
        for row in _restricted(_class_means(found.members[name], own), own, rng)
    ]
    means = table_of(concepts).groupby("label", sort=True)["difference"].mean()
    return StudyEvidence(
        {"all_minus_one_class": members.to_numpy()},
        {"classmem": np.mean(gain, axis=1), "class_means": means.to_numpy()},
        table,
    )


# ------------------------------------------------------------------------------------------------------ statistics


def _classmem(mu: Floats, labels: ArrayLike) -> float:
    """Mean ClassMem of the units, from (N, U) and (N,)."""
    return float(classmem_from_activations(mu, labels).scores.mean())


def _unit_rows(
    found: UnitResponses, labels: ArrayLike, heldout_labels: ArrayLike, *, seed: int, training: str
) -> pd.DataFrame:
    """All units of one encoder with their scores."""
    import pandas as pd

    frames = []
    for layer in found.layers:
        columns = {
            "unitmem": unitmem_from_activations(found.members[layer]).scores,
            "unitmem_heldout": unitmem_from_activations(found.heldout[layer]).scores,
            "unitmem_untrained": unitmem_from_activations(found.untrained[layer]).scores,
            "classmem": classmem_from_activations(found.clean[layer], labels).scores,
            "selectivity": classmem_from_activations(found.heldout_clean[layer], heldout_labels).scores,
        }
        units = np.arange(found.members[layer].shape[1])
        frames.append(
            pd.DataFrame({"seed": seed, "training": training, "layer": layer, "unit": units} | columns)
        )
    return pd.concat(frames, ignore_index=True)


def _of_class_means(mu: Floats, labels: ArrayLike) -> float:
    """UnitMem minus ClassMem after every response was replaced by the mean response of its class."""
    flat = _class_means(mu, labels)
    return mean_unitmem(flat) - _classmem(flat, labels)


def _of_unrelated(mu: Floats, labels: ArrayLike, rng: np.random.Generator) -> float:
    """UnitMem minus ClassMem of unrelated exponential draws of the same shape."""
    drawn = rng.standard_exponential(mu.shape)
    return mean_unitmem(drawn) - _classmem(drawn, labels)


def _class_means(mu: Floats, labels: ArrayLike) -> Floats:
    """Every response replaced by the mean response of its class."""
    names = np.asarray(labels)
    flat = np.empty_like(mu)
    for name in np.unique(names):
        flat[names == name] = mu[names == name].mean(axis=0)
    return flat


def _restricted(mu: Floats, labels: ArrayLike, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Mean UnitMem on N points of all classes and of each class."""
    names = np.asarray(labels)
    if names.shape != mu.shape[:1]:
        raise ValueError(
            f"labels must name a class for each of the {len(mu)} points, got shape {names.shape}"
        )
    members = {name: np.flatnonzero(names == name) for name in np.unique(names)}
    n = min(len(points) for points in members.values())
    if n < 2 or len(members) < 2:
        raise ValueError(f"class_restriction needs two classes of two points, got {len(members)} and {n}")

    def drawn(pool: NDArray[np.intp]) -> float:
        if len(pool) == n:
            return mean_unitmem(mu[pool])
        return float(np.mean([mean_unitmem(mu[rng.choice(pool, n, replace=False)]) for _ in range(DRAWS)]))

    everything = drawn(np.arange(len(mu)))
    rows = []
    for name, points in members.items():
        one = drawn(points)
        row = {"label": name, "n": n, "all_classes": everything, "one_class": one}
        rows.append(row | {"difference": everything - one})
    return rows


def _concatenated(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables below each other."""
    import pandas as pd

    return pd.concat(frames, ignore_index=True)
