"""The spectral view under the microscope: which frequencies it moves, and whether the edge form is the dense one."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trustlib.gnn_stealing.augmentation import drop_edges
from trustlib.gnn_stealing.edges import LoopedGraph, undirected
from trustlib.gnn_stealing.evidence_worlds import Laboratory, one_thread
from trustlib.gnn_stealing.resampling import connected_components
from trustlib.gnn_stealing.spectra import SpectralChange, spectral_change
from trustlib.gnn_stealing.spectral import WeightedEdges, spco_edge_weight
from trustlib.gnn_stealing.splits import induced_subgraph

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
SCHEDULE = (1.0, *(k / 10 for k in range(1, 10)))  # scales of the ten refreshes of a published training
DROP = 0.05
CALLS = 20  # of a form that takes milliseconds


def dense_spco(
    edge_index: Tensor,
    num_nodes: int,
    *,
    strength: float = 0.1,
    epsilon: float = 0.1,
    sinkhorn_iters: int = 3,
    scales: Sequence[float] = (1.0,),
    products: bool = False,
) -> Tensor:
    """The spectral augmentation with N x N matrices, as it was published up to a transposition; for comparison.

    Args:
        edge_index: shape (2, E), undirected.
        num_nodes: N.
        strength: lambda, largest change of a weight.
        epsilon: weight of the entropy.
        sinkhorn_iters: of every scaling.
        scales: of the Laplacian, refresh by refresh.
        products: multiply by diagonal matrices in full, O(N^3), as the published code does; the result is the same.

    Returns:
        Weights W, shape (N, N), float64; NaN where an exponential overflows, as published.

    Example:
        >>> path = torch.tensor([[0, 1], [1, 2]])
        >>> edges, weight = spco_edge_weight(path, 3)
        >>> torch.allclose(dense_spco(path, 3)[edges[0], edges[1]], weight)
        True

    Source: Liu et al., NeurIPS 2022; code of Podhajski et al., ECAI 2024, which also transposes the perturbation where
        it normalises it. Written anew from the equations.
    """
    looped = torch.eye(num_nodes, dtype=torch.float64)
    row, col = undirected(edge_index, num_nodes)
    looped[row, col] = 1.0
    degree = looped.sum(1)
    laplacian = torch.eye(num_nodes, dtype=torch.float64) - looped / (degree[:, None] * degree[None]).sqrt()
    marginal = degree / degree.sum()
    plus = minus = torch.full_like(looped, 0.5)
    for scale in scales:
        scaled = scale * laplacian
        plus = _dense_sinkhorn(
            2 * (scaled * plus).sum() * scaled / epsilon, marginal, sinkhorn_iters, products
        )
        minus = _dense_sinkhorn(
            -2 * (scaled * minus).sum() * scaled / epsilon, marginal, sinkhorn_iters, products
        )
    change = (plus - minus) * (looped > 0)
    size = change.abs().sum(1)
    return looped + strength * change / (size[:, None] * size[None]).sqrt()


def _dense_sinkhorn(log_kernel: Tensor, marginal: Tensor, iterations: int, products: bool) -> Tensor:
    """diag(u) K diag(v)."""
    kernel = log_kernel.exp()
    u = torch.full_like(marginal, 1 / len(marginal))
    for _ in range(iterations):
        u = marginal / (kernel @ (marginal / (kernel.T @ u)))
    v = marginal / (kernel.T @ u)
    return torch.diag(u) @ kernel @ torch.diag(v) if products else u[:, None] * kernel * v[None]


def largest_component(lab: Laboratory, graph: str, index: int, *, most: int = 2500) -> tuple[Tensor, int]:
    """Edges and size of the largest connected part of a query graph.

    Args:
        lab: the protocol with its splits.
        graph: which graph.
        index: number of the repetition.
        most: nodes that are kept at most, the first ones in the order of their numbers.

    Returns:
        Edges (2, E) and the number of nodes.
    """
    query = lab.split(graph, index).query
    parts = connected_components(query.edge_index, len(query.y))
    nodes = torch.from_numpy(np.flatnonzero(parts == np.bincount(parts).argmax())[:most])
    found = induced_subgraph(query.cpu(), nodes)
    return found.edge_index, len(nodes)


def view_changes(edges: Tensor, num_nodes: int, *, seed: int) -> dict[str, SpectralChange]:
    """What four views do to the spectrum of one graph.

    Args:
        edges: shape (2, E).
        num_nodes: N.
        seed: of the two random drops.

    Returns:
        "spectral", "drop", "another_drop" and "loops" (loops heavier and edges lighter by a tenth).
    """
    looped = LoopedGraph.of(edges, num_nodes)
    loop = looped.row == looped.col
    emphasis = torch.where(loop, 1.1, 0.9).double()
    views: dict[str, WeightedEdges] = {
        "spectral": spco_edge_weight(edges, num_nodes),
        "drop": _dropped(looped, 2 * seed),
        "another_drop": _dropped(looped, 2 * seed + 1),
        "loops": WeightedEdges(looped.edge_index, emphasis),
    }
    one = torch.ones(len(looped.row), dtype=torch.float64)
    return {
        name: spectral_change(looped.edge_index, found, num_nodes, weight_a=one, weight_b=weight)
        for name, (found, weight) in views.items()
    }


def _dropped(looped: LoopedGraph, seed: int) -> WeightedEdges:
    """Unit weights without a few edges."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.ones(len(looped.row), dtype=torch.float64)
    return drop_edges(looped.edge_index, weight, rate=DROP, generator=generator)


@one_thread()
def form_differences(graphs: Sequence[tuple[Tensor, int]], *, sinkhorn_iters: int) -> Vector:
    """Largest difference between the edge form and the dense form (three scaling steps) over a whole schedule.

    Args:
        graphs: edges and number of nodes of each.
        sinkhorn_iters: of the edge form; the dense one does the published 3.

    Returns:
        One value per graph.

    Raises:
        ValueError: a graph on which the dense form overflows, so that there is nothing to compare with.
    """
    found = []
    for edges, n in graphs:
        worst = 0.0
        for stop in range(1, len(SCHEDULE) + 1, 3):
            dense = dense_spco(edges, n, scales=SCHEDULE[:stop])
            index, weight = spco_edge_weight(edges, n, scales=SCHEDULE[:stop], sinkhorn_iters=sinkhorn_iters)
            gap = float((dense[index[0], index[1]] - weight).abs().max())
            if not np.isfinite(gap):
                raise ValueError(
                    f"the dense form is not finite on a graph of {n} nodes. Compare on smaller ones."
                )
            worst = max(worst, gap)
        found.append(worst)
    return np.array(found)


@one_thread()
def form_timings(edges: Tensor, num_nodes: int, *, repetitions: int) -> pd.DataFrame:
    """Processor time of the edge form and of the published dense form for a whole schedule.

    Args:
        edges: shape (2, E).
        num_nodes: N.
        repetitions: how often all three are timed.

    Returns:
        Columns dense, dense_again (the dense form timed once more, which is the next row's dense), edges, in seconds;
        one row per repetition. The edge form takes milliseconds, so its time is a mean over twenty calls.
    """
    import pandas as pd

    def dense() -> Any:
        return dense_spco(edges, num_nodes, scales=SCHEDULE, products=True)

    def sparse() -> Any:
        return spco_edge_weight(edges, num_nodes, scales=SCHEDULE)

    sparse()
    slow, fast = [_seconds(dense)], []
    for _ in range(repetitions):
        fast.append(_seconds(sparse, calls=CALLS))
        slow.append(_seconds(dense))
    return pd.DataFrame({"dense": slow[:-1], "dense_again": slow[1:], "edges": fast})


@one_thread()
def size_timings(sizes: dict[str, Sequence[int]], *, seed: int) -> pd.DataFrame:
    """Processor time of one refresh on generated graphs of several sizes, by form.

    Args:
        sizes: numbers of nodes by form: "edges", "dense" (as published) and "lean" (dense without full products).
        seed: of the graphs.

    Returns:
        Columns form, nodes, links (undirected edges), seconds.
    """
    import pandas as pd

    from trustlib.data import load_graph

    runs: dict[str, Callable[..., Any]] = {"edges": spco_edge_weight, "lean": dense_spco, "dense": _published}
    rows = []
    for form, n in [(form, n) for form, numbers in sizes.items() for n in numbers]:
        edges = torch.from_numpy(load_graph("citations_like", n=n, seed=seed).edge_index)
        run = functools.partial(runs[form], edges, n)
        seconds = min(_seconds(run), _seconds(run))
        rows.append({"form": form, "nodes": n, "links": edges.shape[1] // 2, "seconds": seconds})
    return pd.DataFrame(rows)


def _published(edges: Tensor, num_nodes: int) -> Tensor:
    """The dense form with the matrix products of the published code."""
    return dense_spco(edges, num_nodes, products=True)


def _seconds(run: Callable[[], Any], *, calls: int = 1) -> float:
    """Processor time of a call, mean over several."""
    start = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - start) / calls
