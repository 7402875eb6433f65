"""The service's side of graph stealing: layers, sparse features, sampling, and a graph with a million edges.

Run: python benchmarks/bench_gnn_messages.py
Prints seconds and ratios; times are processor time (all threads together), the best of a few runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace

import torch

from trustlib.data import import_geometric, load_graph
from trustlib.gnn_stealing import (
    ARCHITECTURES,
    MessageGraph,
    NeighbourSampler,
    TargetGNN,
    WeightedGATConv,
    WeightedSAGEConv,
    node_outputs,
)


def seconds(run: Callable[[], object], repeats: int = 3) -> float:
    """Least processor time of a few runs, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def backward(layer: torch.nn.Module, *inputs: object) -> Callable[[], None]:
    """One pass there and back."""
    return lambda: layer(*inputs).sum().backward()


def layers() -> None:
    """One layer forward and backward, torch_geometric's and ours, on 20 000 nodes and 120 000 directed edges."""
    import_geometric()
    from torch_geometric.nn import GATConv, SAGEConv

    data = load_graph("citations_like", n=20_000, seed=0).to_data(sparse=False)
    graph = MessageGraph.build(data.edge_index, num_nodes=data.num_nodes)
    edges = torch.stack([graph.sender, graph.receiver])
    pairs = {
        "sage": (SAGEConv(400, 128), WeightedSAGEConv(400, 128)),
        "gat, 4 heads": (GATConv(400, 64, heads=4, add_self_loops=False), WeightedGATConv(400, 64)),
    }
    for name, (theirs, ours) in pairs.items():
        a, b = seconds(backward(theirs, data.x, edges)), seconds(backward(ours, data.x, graph))
        print(f"{name:>14}: torch_geometric {a:.3f} s, here {b:.3f} s, ratio {a / b:.1f}")


def features() -> None:
    """The first layer on dense and on sparse features of 10 000 nodes, 4 000 words, 0.4 % of them not zero."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(10_000, 4_000, generator=generator) < 0.004).float()
    n, edges = len(x), torch.empty(2, 0, dtype=torch.int64)
    sparse = load_sparse(x)
    graph = MessageGraph.build(edges, num_nodes=n)
    layer = WeightedSAGEConv(4_000, 128)
    a, b = seconds(backward(layer, x, graph)), seconds(backward(layer, sparse, graph))
    print(f"sparse features: dense {a:.3f} s, sparse {b:.3f} s, ratio {a / b:.1f}")


def load_sparse(x: torch.Tensor) -> torch.Tensor:
    """CSR form of dense features."""
    from trustlib.gnn_stealing.messages import csr_matrix

    counts = (x != 0).sum(1)
    pointer = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    rows, columns = torch.nonzero(x, as_tuple=True)
    return csr_matrix(pointer, columns, x[rows, columns], tuple(x.shape))


def million() -> None:
    """170 000 nodes and 2.3 million directed edges: batches and exact outputs of all nodes."""
    generator = torch.Generator().manual_seed(0)
    n, e = 169_343, 1_150_000
    share = (torch.rand(n, generator=generator, dtype=torch.float64) ** -0.6).clamp(max=300).cumsum(0)
    ends = torch.searchsorted(share, torch.rand(2, e, generator=generator, dtype=torch.float64) * share[-1])
    edges = torch.cat([ends, ends.flip(0)], dim=1).clamp(max=n - 1)
    data = SimpleNamespace(x=torch.randn(n, 128, generator=generator), edge_index=edges)
    sampler = NeighbourSampler(edges, num_nodes=n)
    seeds = torch.randperm(n, generator=generator)[:1_000]
    for fanouts in ((10, 50), (15, 10, 5)):
        spent = seconds(lambda f=fanouts: sampler.sample(seeds, f, generator=generator))
        size = len(sampler.sample(seeds, fanouts, generator=generator).edges)
        print(f"1 000 seeds, fan-out {fanouts}: {spent:.3f} s for {size} edges")
    for name in ARCHITECTURES:
        model = TargetGNN(name, in_features=128, num_classes=40, seed=0)
        print(
            f"{name}, outputs of all nodes: {seconds(lambda m=model: node_outputs(m, data), repeats=1):.1f} s"
        )


if __name__ == "__main__":
    layers()
    features()
    million()
