"""Which nodes to ask about when not all can be."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import check_graph, is_sparse, one_of, whole
from trustlib.gnn_stealing.edges import undirected
from trustlib.gnn_stealing.splits import as_data

Strategy = Literal["random", "degree", "k_centre", "uncertainty"]
STRATEGIES: tuple[Strategy, ...] = ("random", "degree", "k_centre", "uncertainty")


def select_queries(
    data: Any, n: int, strategy: Strategy = "random", *, posterior: Tensor | None = None, seed: int
) -> Tensor:
    """Choose nodes for a query; cut the graph to them with `induced_subgraph`, or send it whole and count the context.

    random: all subsets alike. degree: most neighbours first. k_centre: always the node farthest (Euclidean) from those
    chosen so far, in the space of features. uncertainty: largest entropy of the attacker's own posteriors first. Ties
    are broken at random.

    Args:
        data: the attacker's graph with x and edge_index.
        n: how many, 1 <= n <= N.
        strategy: see above.
        posterior: of the attacker's current model, shape (N, C), rows sum to 1; for "uncertainty" only.
        seed: of random draws, of the first centre and of ties.

    Returns:
        Different nodes, shape (n,), int64, first choice first: a smaller n gives a beginning of a larger one.

    Raises:
        TypeError, ValueError: no graph, n outside its range, an unknown strategy, or a posterior that is missing, not
            wanted, or not one distribution per node.

    Example:
        >>> from types import SimpleNamespace
        >>> star = SimpleNamespace(x=torch.zeros(4, 1), edge_index=torch.tensor([[2, 2, 2], [0, 1, 3]]))
        >>> select_queries(star, 1, "degree", seed=0)
        tensor([2])

    Source: ours; k-centre by the greedy rule of Gonzalez (1985).
    """
    data = as_data(data)
    check_graph(data)
    one_of("strategy", strategy, STRATEGIES)
    total = data.x.shape[0]
    if whole("n", n, least=1) > total:
        raise ValueError(f"n must be at most the number of nodes, {total}, got {n}.")
    if (posterior is not None) != (strategy == "uncertainty"):
        raise ValueError(
            f'posterior is needed for strategy="uncertainty" and for no other, got {strategy!r}.'
        )
    order = torch.randperm(total, generator=torch.Generator().manual_seed(whole("seed", seed, least=0)))
    if strategy == "random":
        return order[:n]
    if strategy == "k_centre":
        return _farthest_first(data.x.to_dense() if is_sparse(data.x) else data.x, n, int(order[0]))
    if posterior is not None:
        value = _entropy(posterior, total)
    else:
        value = torch.bincount(undirected(data.edge_index, total)[0], minlength=total).cpu().double()
    return order[torch.sort(value[order], descending=True, stable=True).indices[:n]]


def _farthest_first(x: Tensor, n: int, first: int) -> Tensor:
    """Greedy centres, (n,); O(n N d)."""
    chosen = [first]
    distance = (x - x[first]).square().sum(1)
    distance[first] = -1.0  # a chosen node is nearer than any copy of it
    for _ in range(n - 1):
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, (x - x[chosen[-1]]).square().sum(1))
        distance[chosen[-1]] = -1.0
    return torch.tensor(chosen)


def _entropy(posterior: Tensor, total: int) -> Tensor:
    """Entropy of every row, (N,)."""
    fits = posterior.ndim == 2 and posterior.shape[0] == total
    if (
        not fits
        or bool((posterior < 0).any())
        or not torch.allclose(posterior.sum(1), torch.ones(total).to(posterior))
    ):
        raise ValueError(
            f"posterior must hold one distribution for each of the {total} nodes, got {tuple(posterior.shape)}. Apply "
            "softmax to logits."
        )
    return -torch.special.xlogy(posterior, posterior).sum(1).cpu().double()
