"""Studies: what happens downstream when memorized points, units or layers are removed, replaced or tuned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.encoders import find_layer
from trustlib.memorization.interventions import PruneArm, Scope, pruned, pruning_masks, swap_layers
from trustlib.memorization.splits import RemovalSet
from trustlib.memorization.tuning import tune_layers

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

Measures = float | Mapping[str, float]


def removal_study(
    arms: Iterable[RemovalSet],
    train: Callable[[NDArray[np.int64], int], Any],
    evaluate: Callable[[Any], Measures],
    *,
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Trains without each arm's points and measures downstream; every arm meets every seed.

    Args:
        arms: of ``removal_sets``.
        train: ``train(kept, seed) -> model``; the seed decides initial weights and batches, the number of steps
            must not depend on the number of points, else fewer points also mean less training.
        evaluate: ``evaluate(model)`` -> a number, or numbers by name (one per downstream set).
        seeds: of the trainings.

    Returns:
        One row per arm, k, draw, seed and measure: columns arm, k, draw, seed, measure, value.

    Raises:
        ValueError: no arms or no seeds.

    Example:
        >>> from trustlib.memorization.splits import removal_sets
        >>> arms = removal_sets([0.1, 0.9, 0.5], [1], n_random=1)
        >>> frame = removal_study(arms, lambda kept, seed: kept, lambda kept: float(kept.sum()), seeds=[0])
        >>> frame.query("arm == 'top'")["value"].tolist()  # points 0 and 2 stay
        [2.0]

    Source: Wang et al., ICLR 2024, section 4.4.
    """
    listed = list(arms)
    if not listed or not len(seeds):
        raise ValueError(f"removal_study needs arms and seeds, got {len(listed)} and {len(seeds)}")
    rows = []
    for seed in seeds:
        for arm in listed:
            measures = _named(evaluate(train(arm.kept, seed)))
            known = {"arm": arm.arm, "k": arm.k, "draw": arm.draw, "seed": seed}
            rows += [{**known, "measure": name, "value": value} for name, value in measures.items()]
    return _frame(rows)


def paired_difference(
    frame: pd.DataFrame, *, arm: str, baseline: str, by: Sequence[str] = ("seed",)
) -> NDArray[np.float64]:
    """Value of one arm minus the baseline's, paired, draws of an arm averaged first.

    Args:
        frame: with columns arm, value and those of ``by``; filter it to one measure and one k or share.
        arm: the arm of interest.
        baseline: what it is compared with.
        by: what pairs them, for example the seed.

    Returns:
        Differences in the order of ``by``, shape (pairs,).

    Raises:
        ValueError: an arm that is not in the frame, or a pair that lacks one side.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame(
        ...     {"arm": ["top", "random", "random"], "seed": [0, 0, 0], "value": [0.5, 0.6, 0.8]}
        ... )
        >>> paired_difference(frame, arm="random", baseline="top").round(6)
        array([0.2])

    Source: ours.
    """
    known = set(frame["arm"])
    for name in (arm, baseline):
        if name not in known:
            raise ValueError(f"no arm {name!r} in the frame; there are {', '.join(sorted(known))}")
    table = frame.groupby(["arm", *by], sort=True)["value"].mean()
    one, other = table[arm], table[baseline]
    if not one.index.equals(other.index):
        raise ValueError(f"arms {arm!r} and {baseline!r} were not measured at the same {', '.join(by)}")
    return (one - other).to_numpy(dtype=np.float64)


def pruning_study(
    model: nn.Module,
    scores: Mapping[str, ArrayLike],
    evaluate: Callable[[nn.Module], Measures],
    *,
    shares: Sequence[float],
    scope: Scope = "per_layer",
    n_random: int = 10,
    seed: int = 0,
    unit_axis: int | None = None,
) -> pd.DataFrame:
    """Silences units by score and measures downstream: highest, lowest, random, none.

    Args:
        model: the encoder; as before afterwards.
        scores: by layer, shape (U,), for example ``{name: result.scores}`` of ``unitmem``; name layers behind
            their ReLU. Mean activations give the baseline that is not about memorization.
        evaluate: measures the pruned model, for example a *newly trained* linear probe.
        shares: of units, in [0, 1].
        scope: "per_layer" or "total".
        n_random: draws of the random arm, 10 in the paper.
        seed: of the draws.
        unit_axis: see ``pruned``.

    Returns:
        Columns arm ("none", "top", "low", "random"), share, draw, measure, value.

    Raises:
        ValueError: as ``pruning_masks`` and ``pruned``; no shares.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.ReLU())
        >>> alive = lambda m: float(m(torch.ones(1, 4)).sum())
        >>> frame = pruning_study(model, {"0": [1, 2, 3, 4]}, alive, shares=[0.5], n_random=1)
        >>> frame["value"].tolist()
        [4.0, 2.0, 2.0, 2.0]

    Source: Wang et al., NeurIPS 2024, table 6.
    """
    if not len(shares) or n_random < 1:
        raise ValueError(f"pruning_study needs shares and n_random >= 1, got {list(shares)} and {n_random}")
    arms: list[tuple[PruneArm, int]] = [
        ("top", 0),
        ("low", 0),
        *(("random", draw) for draw in range(n_random)),
    ]
    cells = {
        (share, arm, draw): pruning_masks(scores, share=share, arm=arm, scope=scope, seed=seed + draw)
        for share in shares
        for arm, draw in arms
    }
    rows = [
        {"arm": "none", "share": 0.0, "draw": 0, "measure": name, "value": value}
        for name, value in _named(evaluate(model)).items()
    ]
    for (share, arm, draw), masks in cells.items():
        with pruned(model, masks, unit_axis=unit_axis):
            measures = _named(evaluate(model))
        known = {"arm": arm, "share": share, "draw": draw}
        rows += [{**known, "measure": name, "value": value} for name, value in measures.items()]
    return _frame(rows)


def replacement_study(
    model: nn.Module,
    donor: nn.Module,
    layer_sets: Mapping[str, Sequence[str]],
    evaluate: Callable[[nn.Module], Measures],
) -> pd.DataFrame:
    """Replaces sets of layers by a donor's and measures downstream.

    Args:
        model: the encoder; not changed.
        donor: same architecture, trained on other data.
        layer_sets: dotted names by arm, for example one layer each, or the layers with the largest delta.
        evaluate: measures a model.

    Returns:
        Columns arm ("none" first), layers, parameters (how many were replaced), measure, value, drop (value of
        "none" minus value).

    Raises:
        ValueError: as ``swap_layers``.

    Example:
        >>> import torch
        >>> a, b = torch.nn.Sequential(torch.nn.Linear(1, 1)), torch.nn.Sequential(torch.nn.Linear(1, 1))
        >>> weight = lambda m: m[0].weight.item()
        >>> frame = replacement_study(a, b, {"first": ["0"]}, weight)
        >>> frame["arm"].tolist(), bool(frame["value"][1] == weight(b))
        (['none', 'first'], True)

    Source: Wang et al., NeurIPS 2024, appendix C.7.
    """
    models = {arm: swap_layers(model, donor, names) for arm, names in layer_sets.items()}
    intact = _named(evaluate(model))
    rows = [
        {"arm": "none", "layers": "", "parameters": 0, "measure": name, "value": value, "drop": 0.0}
        for name, value in intact.items()
    ]
    for arm, mixed in models.items():
        known = {
            "arm": arm,
            "layers": ", ".join(layer_sets[arm]),
            "parameters": _parameters_of(model, layer_sets[arm]),
        }
        for name, value in _named(evaluate(mixed)).items():
            rows.append({**known, "measure": name, "value": value, "drop": intact[name] - value})
    return _frame(rows)


def fine_tuning_study(
    encoder: nn.Module,
    layer_sets: Mapping[str, Sequence[str]],
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    *,
    n_classes: int,
    epochs: int,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    seeds: Sequence[int] = (0,),
) -> pd.DataFrame:
    """Tunes sets of layers with a head each and compares test accuracy, and how much was trained.

    Args:
        encoder: from images to (B, ...); not changed.
        layer_sets: dotted names by arm; an empty list is the head alone.
        train: images (n, ...) and integer labels (n,).
        test: images and labels.
        n_classes: outputs of the head.
        epochs: see ``tune_layers``.
        learning_rate: see ``tune_layers``.
        batch_size: see ``tune_layers``.
        seeds: of the heads and orders.

    Returns:
        Columns arm, layers, parameters (tuned, without head), seed, measure ("accuracy"), value.

    Raises:
        ValueError: as ``tune_layers``; no arms.

    Example:
        >>> import torch
        >>> net, x, y = torch.nn.Sequential(torch.nn.Linear(2, 2)), torch.eye(2).repeat(20, 1), torch.arange(40) % 2
        >>> frame = fine_tuning_study(net, {"head": [], "all": ["0"]}, (x, y), (x, y), n_classes=2, epochs=5)
        >>> frame["parameters"].tolist()
        [0, 6]

    Source: Wang et al., NeurIPS 2024, table 5.
    """
    if not layer_sets:
        raise ValueError(
            "fine_tuning_study needs at least one set of layers; an empty set trains the head alone"
        )
    counts = {arm: _parameters_of(encoder, names) for arm, names in layer_sets.items()}
    rows = []
    for seed in seeds:
        for arm, names in layer_sets.items():
            tuned = tune_layers(
                encoder, names, *train, n_classes=n_classes, epochs=epochs, learning_rate=learning_rate,
                batch_size=batch_size, seed=seed,
            )  # fmt: skip
            known = {"arm": arm, "layers": ", ".join(names), "parameters": counts[arm], "seed": seed}
            rows.append({**known, "measure": "accuracy", "value": tuned.accuracy(*test)})
    return _frame(rows)


def _parameters_of(model: nn.Module, names: Sequence[str]) -> int:
    """Numbers in the parameters of the named layers, each counted once."""
    seen = {id(p): p.numel() for name in names for p in find_layer(model, name).parameters()}
    return sum(seen.values())


def _named(measures: Measures) -> dict[str, float]:
    """Measures by name; a single number is called "value"."""
    if isinstance(measures, Mapping):
        return {name: float(value) for name, value in measures.items()}
    return {"value": float(measures)}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a table."""
    import pandas as pd

    return pd.DataFrame(rows)
