"""Who sees which nodes: induced subgraphs for the target, the queries and the test, and query budgets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import check_edges, check_graph, inside, is_sparse, one_of, whole
from trustlib.gnn_stealing.messages import csr_matrix

if TYPE_CHECKING:
    import pandas as pd
    from torch_geometric.data import Data

Protocol = Literal["disjoint", "overlapping"]
_FRACTIONS = {"disjoint": (0.2, 0.3, 0.5), "overlapping": (0.6, 0.3, 0.5)}
_PARTS = ("target", "query", "test")


@dataclass(frozen=True)
class InductiveSplit:
    """Three induced subgraphs of one graph. Edges between parts are lost, nodes are renumbered from 0.

    Args:
        target: what the target is trained on.
        query: what the attacker can send. Its labels may or may not be known to the attacker.
        test: what accuracy and fidelity are measured on.
        protocol: "disjoint", or "overlapping" for the protocol that was published with the first attacks.
        seed: of the draw.
        num_nodes: of the whole graph.
    """

    target: Data
    query: Data
    test: Data
    protocol: Protocol
    seed: int
    num_nodes: int

    @property
    def overlap(self) -> dict[str, float]:
        """Share of the query and of the test nodes that the target was trained on, in [0, 1]; 0 if disjoint."""
        seen = self.target.node_id
        return {
            name: float(torch.isin(getattr(self, name).node_id, seen).float().mean())
            for name in ("query", "test")
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per part: nodes, undirected edges, mean degree, share of isolated nodes, classes, overlap."""
        import pandas as pd

        rows = []
        for name in _PARTS:
            part = getattr(self, name)
            edges = part.edge_index
            between = edges[:, edges[0] != edges[1]]
            degree = torch.bincount(between[1], minlength=part.x.shape[0])
            rows.append(
                {
                    "part": name,
                    "nodes": part.x.shape[0],
                    "edges": between.shape[1] // 2,
                    "mean_degree": float(degree.double().mean()),
                    "isolated": float((degree == 0).double().mean()),
                    "classes": 0 if part.y is None else len(torch.unique(part.y)),
                    "trained_on": 1.0 if name == "target" else self.overlap[name],
                }
            )
        return pd.DataFrame(rows).set_index("part")


def inductive_split(
    data: Any,
    fractions: tuple[float, float, float] | None = None,
    seed: int = 0,
    stratify: Tensor | None = None,
    *,
    protocol: Protocol = "disjoint",
) -> InductiveSplit:
    """Cut one graph into what the target, the attacker and the evaluation see.

    "disjoint": no node is in two parts. "overlapping": the target's nodes are drawn from all nodes, whatever the other
    two parts are, so that it was trained on most of what is queried and tested. That is the protocol of the code
    published with the first attacks; results under it say less about a service asked about new nodes.

    Args:
        data: a graph with x (N, d), edge_index (2, E) and y (N,): a `trustlib.data.Graph`, torch_geometric's Data, or
            anything with these fields. It is not changed. Other fields are not carried over.
        fractions: of nodes in the target, query and test part, each in (0, 1]. Disjoint parts sum to at most 1 (None:
            0.2, 0.3, 0.5); with overlap, query and test sum to at most 1 (None: 0.6, 0.3, 0.5).
        seed: whole number >= 0; the same seed gives the same nodes.
        stratify: integer (N,), usually the classes: every part holds each stratum in proportion, up to one node.
        protocol: see above; the split says which one it is.

    Returns:
        The parts, each with ``node_id`` (n,): the number of every node in ``data`` (or its own ``node_id``).

    Raises:
        TypeError, ValueError: no graph, edges out of range, NaN features, fractions or strata that do not fit, or a
            part without nodes.

    Example:
        >>> from types import SimpleNamespace
        >>> ring = torch.arange(10)
        >>> graph = SimpleNamespace(x=torch.eye(10), edge_index=torch.stack([ring, ring.roll(1)]), y=ring % 2)
        >>> split = inductive_split(graph, (0.2, 0.3, 0.5), seed=1)
        >>> split.target.num_nodes, split.query.num_nodes, split.test.num_nodes
        (2, 3, 5)

    Source: Podhajski et al., ECAI 2024, experimental setup; the overlapping protocol is that of Shen et al., S&P 2022.
    """
    data = as_data(data)
    check_graph(data)
    one_of("protocol", protocol, ("disjoint", "overlapping"))
    shares = _check_fractions(fractions, protocol)
    n = data.x.shape[0]
    generator = torch.Generator().manual_seed(whole("seed", seed, least=0))
    strata = _check_strata(stratify, n)
    order = _order(strata, n, generator)
    if protocol == "disjoint":
        nodes = _cut(order, shares)
    else:
        nodes = [*_cut(order, shares[:1]), *_cut(_order(strata, n, generator), shares[1:])]
    for name, part in zip(_PARTS, nodes, strict=True):
        if len(part) == 0:
            raise ValueError(
                f"the {name} part has no nodes: fractions {shares} of {n} nodes. Use a larger graph."
            )
    target, query, test = (induced_subgraph(data, part) for part in nodes)
    return InductiveSplit(target, query, test, protocol, seed, n)


def cut_query(data: Any, fraction: float, *, seed: int = 0) -> Data:
    """What is left of a query graph under a budget: cut first, sent to the target afterwards.

    n = floor(q N), at least 1. With one seed, the nodes of a smaller budget are among those of a larger one.

    Args:
        data: the attacker's graph.
        fraction: q in (0, 1].
        seed: which nodes.

    Returns:
        The induced subgraph, with ``node_id``. No edge or node outside the budget can influence an answer.

    Raises:
        ValueError: fraction outside (0, 1], or no graph.

    Source: Shen et al., S&P 2022. The code of Podhajski et al. queries the whole graph and cuts the answers, which
        gives the attacker context that the budget does not count.
    """
    data = as_data(data)
    check_graph(data)
    inside("fraction", fraction, low=0.0, high=1.0, open_low=True)
    n = data.x.shape[0]
    order = torch.randperm(n, generator=torch.Generator().manual_seed(whole("seed", seed, least=0)))
    return induced_subgraph(data, order[: max(1, int(fraction * n + 1e-9))].sort().values)


def induced_subgraph(data: Any, nodes: Tensor) -> Data:
    """The nodes, in this order and renumbered from 0, and all edges between them.

    Args:
        data: a graph; its ``node_id`` is carried along if it has one.
        nodes: int64 (n,), different nodes of ``data``.

    Returns:
        torch_geometric's Data with x (dense or CSR as it came), edge_index, y if there is one, and node_id.

    Raises:
        ValueError: a node twice, or one that is not there.

    Example:
        >>> from types import SimpleNamespace
        >>> path = SimpleNamespace(x=torch.eye(3), edge_index=torch.tensor([[0, 1], [1, 2]]), y=None)
        >>> induced_subgraph(path, torch.tensor([2, 1])).edge_index.tolist()
        [[1], [0]]
    """
    from trustlib.data import import_geometric

    import_geometric()
    from torch_geometric.data import Data

    data = as_data(data)
    n = data.x.shape[0]
    nodes = nodes.to(data.x.device)
    check_edges(torch.stack([nodes, nodes]), num_nodes=n, name="nodes")
    place = torch.full((n,), -1, dtype=torch.int64, device=data.edge_index.device)
    place[nodes] = torch.arange(len(nodes), device=place.device)
    if int((place >= 0).sum()) != len(nodes):
        raise ValueError(f"nodes names {len(nodes) - int((place >= 0).sum())} nodes more than once.")
    edges = place[data.edge_index.to(torch.int64)]
    known = getattr(data, "node_id", None)
    labels = getattr(data, "y", None)
    return Data(
        x=take_rows(data.x, nodes),
        edge_index=edges[:, (edges >= 0).all(dim=0)],
        y=None if labels is None else labels[nodes],
        node_id=nodes.clone() if known is None else known[nodes],
    )


def take_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Rows (n, d) of dense or CSR features, in the given order."""
    if not is_sparse(x):
        return x[rows]
    start, stop = x.crow_indices()[:-1][rows], x.crow_indices()[1:][rows]
    length = stop - start
    pointer = torch.cat([length.new_zeros(1), length.cumsum(0)])
    places = torch.arange(int(pointer[-1]), device=x.device) + (start - pointer[:-1]).repeat_interleave(
        length
    )
    return csr_matrix(pointer, x.col_indices()[places], x.values()[places], (len(rows), x.shape[1]))


def as_data(data: Any) -> Any:
    """torch_geometric's view of a `trustlib.data.Graph`; anything else as it is."""
    from trustlib.data import Graph

    return data.data if isinstance(data, Graph) else data


def _check_fractions(fractions: Any, protocol: Protocol) -> tuple[float, float, float]:
    """Three shares that fit into one graph."""
    shares = _FRACTIONS[protocol] if fractions is None else tuple(fractions)
    if len(shares) != 3:
        raise ValueError(f"fractions must be three numbers (target, query, test), got {shares}.")
    for name, share in zip(_PARTS, shares, strict=True):
        inside(f"fraction of the {name} part", share, low=0.0, high=1.0, open_low=True)
    together = sum(shares if protocol == "disjoint" else shares[1:])
    if together > 1 + 1e-9:
        which = "the three parts" if protocol == "disjoint" else "query and test"
        raise ValueError(f"fractions of {which} must sum to at most 1, got {shares} with sum {together:g}.")
    return shares[0], shares[1], shares[2]


def _check_strata(stratify: Tensor | None, n: int) -> Tensor | None:
    """One stratum per node, numbered from 0."""
    if stratify is None:
        return None
    strata = torch.as_tensor(stratify).cpu()
    if strata.shape != (n,) or strata.dtype.is_floating_point:
        raise ValueError(
            f"stratify must hold one integer for each of the {n} nodes, got {strata.dtype} {tuple(strata.shape)}."
        )
    return torch.unique(strata, return_inverse=True)[1]


def _order(strata: Tensor | None, n: int, generator: torch.Generator) -> Tensor:
    """A random order of n nodes; with strata, every beginning of it holds each stratum in proportion."""
    order = torch.randperm(n, generator=generator)
    if strata is None:
        return order
    mine = strata[order]
    sizes = torch.bincount(mine)
    grouped = torch.sort(mine, stable=True).indices
    rank = torch.empty(n, dtype=torch.float64)
    rank[grouped] = (torch.arange(n) - (sizes.cumsum(0) - sizes)[mine[grouped]]).double()
    offset = torch.rand(len(sizes), generator=generator, dtype=torch.float64)
    return order[torch.sort((rank + offset[mine]) / sizes[mine], stable=True).indices]


def _cut(order: Tensor, shares: tuple[float, ...]) -> list[Tensor]:
    """Consecutive pieces of an order, sorted; sizes are differences of floors, so they never exceed the whole."""
    pieces, done, total = [], 0, 0.0
    for share in shares:
        total += share
        end = min(len(order), int(total * len(order) + 1e-9))
        pieces.append(order[done:end].sort().values)
        done = end
    return pieces
