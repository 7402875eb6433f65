"""Neighbour sampling: complete neighbourhoods, fair subsets, everything visited once."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trustlib.gnn_stealing import NeighbourSampler
from trustlib.gnn_stealing.sampling import distinct_positions


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(st.data())
def test_blocks_hold_true_edges_within_the_fan_out(draw):
    n, m = draw.draw(st.integers(2, 12)), draw.draw(st.integers(0, 50))
    seed = draw.draw(st.integers(0, 999))
    edges = torch.randint(0, n, (2, m), generator=generator(seed))
    weight = torch.arange(float(m))
    fanout = draw.draw(st.integers(1, 4))
    seeds = torch.randperm(n, generator=generator(seed))[: draw.draw(st.integers(1, n))]
    block = NeighbourSampler(edges, num_nodes=n, edge_weight=weight).sample(
        seeds, (fanout,), generator=generator(seed)
    )
    assert torch.equal(block.nodes[: block.seeds], seeds)
    assert len(set(block.nodes.tolist())) == len(block.nodes)
    assert torch.equal(block.nodes[block.edge_index], edges[:, block.edges])  # local and global numbers agree
    assert torch.equal(block.edge_weight, weight[block.edges])
    assert len(set(block.edges.tolist())) == len(block.edges)  # without replacement
    for node in seeds.tolist():
        arriving = [e for e in range(m) if edges[1, e] == node and edges[0, e] != node]
        taken = [e for e in block.edges.tolist() if edges[1, e] == node and edges[0, e] != node]
        assert len(taken) == min(fanout, len(arriving))
        loops = [e for e in range(m) if edges[1, e] == edges[0, e] == node]
        assert set(loops) <= set(block.edges.tolist())


@given(st.data())
def test_all_neighbours_give_the_complete_neighbourhood(draw):
    n, m, hops = draw.draw(st.integers(2, 10)), draw.draw(st.integers(0, 30)), draw.draw(st.integers(1, 3))
    edges = torch.randint(0, n, (2, m), generator=generator(m))
    block = NeighbourSampler(edges, num_nodes=n).sample(
        torch.tensor([0]), (-1,) * hops, generator=generator()
    )
    reached, expanded = {0}, set()
    for _ in range(hops):  # oracle: breadth first, one edge at a time
        expanded |= reached
        reached |= {int(a) for a, b in edges.t() if int(b) in reached}
    assert set(block.nodes.tolist()) == reached
    assert sorted(block.edges.tolist()) == [e for e in range(m) if int(edges[1, e]) in expanded]


def test_every_subset_is_equally_likely():
    draws = distinct_positions(torch.full((6000,), 5), 2, generator=generator(1)).sort(dim=1).values
    assert (draws[:, 0] < draws[:, 1]).all()
    counts = [int((draws == torch.tensor(pair)).all(1).sum()) for pair in itertools.combinations(range(5), 2)]
    assert sum(counts) == 6000
    # 10 pairs, 600 each, standard error sqrt(6000 * .1 * .9) = 23.2; 10 comparisons
    assert max(abs(count - 600) for count in counts) < 4 * 23.2


def test_a_planted_bias_would_be_seen():
    u = torch.rand(6000, 2, generator=generator(1))
    first = (u[:, 0] * 5).long()
    second = torch.where(
        (u[:, 1] * 5).long() == first, (first + 1) % 5, (u[:, 1] * 5).long()
    )  # the neighbour twice
    pairs = torch.stack([first, second], 1).sort(dim=1).values
    counts = [int((pairs == torch.tensor(pair)).all(1).sum()) for pair in itertools.combinations(range(5), 2)]
    assert max(abs(count - 600) for count in counts) > 4 * 23.2


def test_batches_visit_every_node_once_in_an_order_of_their_seed():
    edges = torch.randint(0, 50, (2, 200), generator=generator())
    sampler = NeighbourSampler(edges, num_nodes=50)
    nodes = torch.arange(10, 47)

    def order(seed):
        blocks = sampler.batches(nodes, batch_size=8, fanouts=(2, 2), generator=generator(seed))
        return torch.cat([block.nodes[: block.seeds] for block in blocks])

    assert torch.equal(order(0).sort().values, nodes)
    assert torch.equal(order(0), order(0))
    assert not torch.equal(order(0), order(1))


def test_sampled_means_are_unbiased():
    # node 0 hears 1..6 with values 1..6, mean 3.5; means of 2 without replacement have
    # variance 35/12 / 2 * (6 - 2) / (6 - 1) = 1.167, standard error over 2000 draws .024
    edges = torch.stack([torch.arange(1, 7), torch.zeros(6, dtype=torch.int64)])
    sampler = NeighbourSampler(edges, num_nodes=7)
    shared = generator(3)
    means = []
    for _ in range(2000):
        block = sampler.sample(torch.tensor([0]), (2,), generator=shared)
        means.append(block.nodes[block.edge_index[0]].double().mean())
    assert abs(float(torch.stack(means).mean()) - 3.5) < 4 * 0.024


def test_an_error_leaves_the_sampler_usable():
    sampler = NeighbourSampler(torch.tensor([[1], [0]]), num_nodes=3)
    with pytest.raises(ValueError, match="seeds names a node more than once"):
        sampler.sample(torch.tensor([0, 0]), (1,), generator=generator())
    assert sampler.sample(torch.tensor([0]), (1,), generator=generator()).nodes.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda s: s.sample(torch.tensor([3]), (1,), generator=generator()), "seeds names the nodes 3 to 3"),
        (
            lambda s: s.sample(torch.tensor([0]), (0,), generator=generator()),
            r"fanouts must be >= 1, or -1.*\(0,\)",
        ),
        (
            lambda s: next(s.batches(torch.arange(3), batch_size=0, fanouts=(1,), generator=generator())),
            "batch_size must be at least 1",
        ),
        (
            lambda s: distinct_positions(torch.tensor([1]), 2, generator=generator()),
            "sizes must be at least k = 2, got 1",
        ),
        (lambda s: NeighbourSampler(torch.tensor([[5], [0]]), num_nodes=3), "names the nodes 0 to 5"),
        (
            lambda s: NeighbourSampler(torch.tensor([[1], [0]]), num_nodes=3, edge_weight=torch.ones(2)),
            "one number for each of the 1 edges",
        ),
    ],
)
def test_what_cannot_be_sampled_is_refused(use, message):
    with pytest.raises(ValueError, match=message):
        use(NeighbourSampler(torch.tensor([[1], [0]]), num_nodes=3))
