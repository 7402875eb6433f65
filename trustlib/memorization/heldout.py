"""UnitMem tested for membership: the same score on points that were held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.activations import same_point, unit_accumulators
from trustlib.memorization.units import Negative, Rest, UnitMem, UnitMemAccumulator
from trustlib.memorization.views import Augment, Views

if TYPE_CHECKING:
    from trustlib.memorization.responses import Encoder, Forward

PERMUTATIONS = 2000


@dataclass(frozen=True)
class HeldOutUnitMem:
    """UnitMem on training points beside UnitMem on as many exchangeable points that were held out.

    ``difference`` (U,) = members - heldout; ``member_share`` the share of firing units whose favourite among
    all points is a member, 0.5 on average if training left no trace. Units share favourites, so in a single untrained
    network the share may lie far from 0.5; ``p`` is one-sided and by permutation of membership among the points,
    which leaves every point its units. It is at least 1 / (1 + `PERMUTATIONS`).
    """

    members: UnitMem
    heldout: UnitMem
    difference: NDArray[np.float64]
    member_share: float
    p: float


def heldout_unitmem(
    encoder: Encoder,
    members: Any,
    heldout: Any,
    augment: Augment | None,
    layers: Sequence[str],
    *,
    n_views: int = 10,
    rest: Rest = "mean",
    negative: Negative = "raise",
    unit_axis: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    forward_fn: Forward | None = None,
) -> dict[str, HeldOutUnitMem]:
    """UnitMem tested for membership: do units single out *training* points more than other points?

    difference(u) = UnitMem on members - UnitMem on held-out points, at equal N.

    Args:
        encoder: module.
        members: training points.
        heldout: as many points of the same distribution that were not trained on.
        augment: of the training, or None.
        layers: dotted names, after the ReLU.
        n_views: see ``unitmem``.
        rest: see ``unitmem``.
        negative: see ``unitmem``.
        unit_axis: see ``unitmem``.
        seed: of the views and of the permutations.
        batch_size: see ``unitmem``.
        forward_fn: see ``unitmem``.

    Returns:
        Both scores and their comparison, per layer.

    Raises:
        ValueError: unequal numbers of points (UnitMem grows with N), and as ``unitmem``.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.ReLU())
        >>> seen, unseen = torch.tensor([[3.0], [1.0]]), torch.tensor([[1.0], [1.0]])
        >>> result = heldout_unitmem(net, seen, unseen, None, ["0"])["0"]
        >>> result.difference, result.member_share
        (array([0.5]), 1.0)

    Source: ours.
    """
    first = Views(members, augment or same_point, seed=seed, batch_size=batch_size)
    second = Views(heldout, augment or same_point, seed=seed, batch_size=batch_size)
    if first.n != second.n:
        raise ValueError(
            f"heldout_unitmem needs as many held-out points as members, got {second.n} and {first.n}: UnitMem "
            "grows with the number of points. Cut the larger set"
        )
    second.index = second.index + first.n
    settings: dict[str, Any] = {
        "n_views": n_views if augment else None, "rest": rest, "negative": negative,
        "unit_axis": unit_axis, "forward_fn": forward_fn,
    }  # fmt: skip
    seen = unit_accumulators(encoder, first, layers, **settings)
    unseen = unit_accumulators(encoder, second, layers, **settings)
    return {name: _tested(seen[name], unseen[name], first.n, seed) for name in seen}


def _tested(seen: UnitMemAccumulator, unseen: UnitMemAccumulator, n: int, seed: int) -> HeldOutUnitMem:
    """The comparison of one layer."""
    both = UnitMemAccumulator(rest=seen.rest, negative=seen.negative).merge(seen).merge(unseen)
    pooled = both.compute()
    alive = ~pooled.dead & np.isfinite(pooled.scores)
    units = np.bincount(pooled.argmax[alive], minlength=2 * n)  # of every point
    one, other = seen.compute(), unseen.compute()
    total = int(alive.sum())
    return HeldOutUnitMem(
        members=one,
        heldout=other,
        difference=one.scores - other.scores,
        member_share=float(units[:n].sum() / total) if total else float("nan"),
        p=_membership_p(units, n, seed) if total else float("nan"),
    )


def _membership_p(units: NDArray[np.intp], n: int, seed: int) -> float:
    """One-sided p of the first n points owning so many units, with the points in random order."""
    rng = np.random.default_rng([seed, n])
    drawn = np.array([units[rng.permutation(len(units))[:n]].sum() for _ in range(PERMUTATIONS)])
    return float((1 + (drawn >= units[:n].sum()).sum()) / (1 + PERMUTATIONS))
