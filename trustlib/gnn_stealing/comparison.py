"""Two attacks on the same nodes: paired tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trustlib.gnn_stealing.resampling import bootstrap_means, connected_components, percentile_ends


@dataclass(frozen=True)
class AttackComparison:
    """Two attacks on the same test nodes, measured against the same reference classes.

    Args:
        first: share of nodes on which the first one says the reference class.
        second: the same of the second one.
        difference: first - second.
        ci: paired bootstrap interval of the difference.
        only_first: nodes that only the first one gets.
        only_second: nodes that only the second one gets.
        p_value: exact McNemar test, two-sided; it takes nodes for independent.
        clusters: units of the bootstrap.
    """

    first: float
    second: float
    difference: float
    ci: tuple[float, float]
    only_first: int
    only_second: int
    p_value: float
    clusters: int


def compare_attacks(
    first: Tensor,
    second: Tensor,
    reference: Tensor,
    *,
    edge_index: Tensor | None = None,
    confidence: float = 0.95,
    n_boot: int = 1000,
    seed: int = 0,
) -> AttackComparison:
    """Whether one attack agrees with the reference more often than another, on the same nodes.

    McNemar: of the b + c nodes that exactly one of them gets, the first gets b; p = P(|B - (b + c) / 2| >=
    |b - (b + c) / 2|) for B ~ Binomial(b + c, 1/2). It is one training run each: claims about methods need seeds.

    Args:
        first: classes that the first attack says, shape (n,).
        second: classes that the second one says.
        reference: the target's classes (fidelity) or the true ones (accuracy).
        edge_index: edges between the nodes; the bootstrap then draws connected components, otherwise nodes.
        confidence: of the interval, in (0, 1).
        n_boot: replicates, >= 1.
        seed: of the replicates.

    Returns:
        The comparison.

    Raises:
        TypeError, ValueError: lengths that differ, no nodes, bad edges or a number outside its range.

    Example:
        >>> a, b = torch.tensor([1, 1, 1, 1, 0]), torch.tensor([1, 0, 0, 0, 1])
        >>> found = compare_attacks(a, b, torch.ones(5, dtype=torch.long))
        >>> found.only_first, found.only_second, found.p_value  # 2 (1 + 4) / 16
        (3, 1, 0.625)

    Source: McNemar (1947); the paired bootstrap is ours.
    """
    from scipy.stats import binomtest

    size = {len(x) for x in (first, second, reference)}
    if len(size) != 1 or 0 in size:
        raise ValueError(
            f"first, second and reference must have one class per node and at least one node, got {len(first)}, "
            f"{len(second)} and {len(reference)}."
        )
    n = len(reference)
    hits = torch.stack([first == reference, second == reference]).cpu().numpy()
    group = np.arange(n) if edge_index is None else connected_components(edge_index, n)
    draws = bootstrap_means(hits, group, n_boot=n_boot, seed=seed)
    low, high = percentile_ends(draws[:, :1] - draws[:, 1:], confidence)
    only_first, only_second = int((hits[0] & ~hits[1]).sum()), int((hits[1] & ~hits[0]).sum())
    discordant = only_first + only_second
    return AttackComparison(
        first=float(hits[0].mean()),
        second=float(hits[1].mean()),
        difference=float(hits[0].mean() - hits[1].mean()),
        ci=(float(low[0]), float(high[0])),
        only_first=only_first,
        only_second=only_second,
        p_value=float(binomtest(only_first, discordant).pvalue) if discordant else 1.0,
        clusters=int(group.max()) + 1,
    )
