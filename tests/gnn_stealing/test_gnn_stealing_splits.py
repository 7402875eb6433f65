"""Splits: who sees which nodes, induced edges, budgets."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trustlib.gnn_stealing import GraphQueryAPI, cut_query, induced_subgraph, inductive_split
from trustlib.gnn_stealing.checks import is_sparse


def as_pairs(edge_index, names):
    """Edges as a sorted list of pairs of names."""
    return sorted((int(names[a]), int(names[b])) for a, b in edge_index.t())


@st.composite
def graphs(draw):
    n = draw(st.integers(6, 40))
    ends = st.lists(st.integers(0, n - 1), min_size=0, max_size=60)
    a, b = draw(ends), draw(ends)
    m = min(len(a), len(b))
    x = torch.arange(2.0 * n).reshape(n, 2)
    return SimpleNamespace(x=x, edge_index=torch.tensor([a[:m], b[:m]]), y=torch.arange(n) % 3)


@given(graphs(), st.integers(0, 10_000), st.booleans())
def test_parts_are_disjoint_and_hold_exactly_the_edges_inside(graph, seed, stratified):
    split = inductive_split(graph, seed=seed, stratify=graph.y if stratified else None)
    parts = [split.target, split.query, split.test]
    sets = [set(part.node_id.tolist()) for part in parts]
    assert (
        sum(map(len, sets)) == len(set.union(*sets)) == len(graph.x)
    )  # .2 + .3 + .5 = 1: nobody is left out
    assert split.overlap == {"query": 0.0, "test": 0.0}
    for part, nodes in zip(parts, sets, strict=True):
        assert torch.equal(part.x, graph.x[part.node_id])
        assert torch.equal(part.y, graph.y[part.node_id])
        inside = [
            (a, b) for a, b in as_pairs(graph.edge_index, range(len(graph.x))) if a in nodes and b in nodes
        ]
        assert as_pairs(part.edge_index, part.node_id) == sorted(inside)


@given(graphs(), st.integers(0, 10_000))
def test_overlapping_protocol_is_labelled_and_query_and_test_stay_apart(graph, seed):
    split = inductive_split(graph, seed=seed, protocol="overlapping")
    assert split.protocol == "overlapping"
    query, test = set(split.query.node_id.tolist()), set(split.test.node_id.tolist())
    assert not query & test
    seen = set(split.target.node_id.tolist())
    assert split.overlap["query"] == pytest.approx(len(query & seen) / len(query))


def test_most_queried_nodes_were_trained_on_in_the_overlapping_protocol():
    n = 4000
    graph = SimpleNamespace(
        x=torch.ones(n, 1), edge_index=torch.empty(2, 0, dtype=torch.int64), y=torch.arange(n) % 2
    )
    overlap = inductive_split(graph, protocol="overlapping", seed=0).overlap
    # 60 % of all nodes were drawn independently: standard error sqrt(.6 .4 / 1200) = .014, less a finite correction
    assert overlap["query"] == pytest.approx(0.6, abs=4 * 0.014)
    assert overlap["test"] == pytest.approx(0.6, abs=4 * 0.011)


def test_sizes_follow_the_fractions_and_seeds_differ():
    graph = SimpleNamespace(x=torch.ones(100, 1), edge_index=torch.zeros(2, 1, dtype=torch.int64), y=None)
    split = inductive_split(graph, (0.1, 0.25, 0.3), seed=0)
    assert [len(p.node_id) for p in (split.target, split.query, split.test)] == [10, 25, 30]
    again, other = inductive_split(graph, (0.1, 0.25, 0.3), 0), inductive_split(graph, (0.1, 0.25, 0.3), 1)
    assert torch.equal(split.query.node_id, again.query.node_id)
    assert not torch.equal(split.query.node_id, other.query.node_id)


def test_strata_are_in_proportion_up_to_one_node():
    y = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)
    graph = SimpleNamespace(x=torch.ones(100, 1), edge_index=torch.zeros(2, 1, dtype=torch.int64), y=y)
    for seed in range(20):
        split = inductive_split(graph, seed=seed, stratify=y)
        for part, share in ((split.target, 0.2), (split.query, 0.3), (split.test, 0.5)):
            counts = torch.bincount(part.y, minlength=3)
            assert (counts - share * torch.tensor([70.0, 20.0, 10.0])).abs().max() <= 1.0001
    plain = [torch.bincount(inductive_split(graph, seed=s).target.y, minlength=3)[2] for s in range(20)]
    assert len(set(map(int, plain))) > 2  # without strata, the small class has anything from 0 to 5 of 20


def test_table_of_the_parts_by_hand():
    # floors of 12 times .2, .5, 1 are 2, 6, 12: parts of 2, 4 and 6 nodes
    edges = torch.tensor([[0, 1, 1, 2, 3], [1, 0, 2, 1, 3]])
    graph = SimpleNamespace(x=torch.ones(12, 1), edge_index=edges, y=torch.tensor([0, 1] * 6))
    frame = inductive_split(graph, seed=0).to_frame()
    assert list(frame.index) == ["target", "query", "test"]
    assert frame["nodes"].tolist() == [2, 4, 6]
    assert frame["trained_on"].tolist() == [1.0, 0.0, 0.0]
    assert frame["edges"].sum() <= 2
    assert (frame["mean_degree"] == 2 * frame["edges"] / frame["nodes"]).all()
    assert (frame["isolated"] >= 0.5).any()


def test_input_is_left_as_it_was_and_a_graph_of_the_data_floor_is_taken(citations):
    before = citations.data.x.clone()
    split = inductive_split(citations, seed=3)
    split.target.x.zero_()
    assert torch.equal(citations.data.x, before)
    assert split.num_nodes == 600


def test_sparse_features_stay_sparse_and_equal(citations):
    dense, sparse = citations.to_data(sparse=False), citations.to_data(sparse=True)
    one, other = inductive_split(dense, seed=1), inductive_split(sparse, seed=1)
    assert is_sparse(other.query.x)
    assert torch.equal(other.query.x.to_dense(), one.query.x)


def test_subgraph_of_a_subgraph_keeps_the_first_numbers(graph):
    part = induced_subgraph(graph, torch.tensor([9, 4, 7, 1]))
    again = induced_subgraph(part, torch.tensor([2, 0]))
    assert again.node_id.tolist() == [7, 9]
    assert torch.equal(again.x, graph.x[[7, 9]])


def test_budgets_are_nested_counted_and_cut_before_anything_is_sent(graph):
    sizes = {q: cut_query(graph, q, seed=5) for q in (0.01, 0.25, 0.5, 1.0)}
    assert [len(part.node_id) for part in sizes.values()] == [1, 3, 6, 12]  # floor(12 q), at least 1
    sets = [set(part.node_id.tolist()) for part in sizes.values()]
    assert sets[0] < sets[1] < sets[2] < sets[3]
    part = sizes[0.5]
    kept = set(part.node_id.tolist())
    inside = [(a, b) for a, b in as_pairs(graph.edge_index, range(12)) if a in kept and b in kept]
    assert as_pairs(part.edge_index, part.node_id) == inside


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"fractions": (0.5, 0.3, 0.5)},
            r"the three parts must sum to at most 1, got \(0\.5, 0\.3, 0\.5\) with sum 1\.3",
        ),
        ({"fractions": (0.6, 0.6, 0.5), "protocol": "overlapping"}, "query and test must sum to at most 1"),
        ({"fractions": (0.0, 0.3, 0.5)}, r"fraction of the target part must lie in \(0, 1\], got 0\.0"),
        ({"fractions": (0.2, 0.3)}, "three numbers"),
        ({"fractions": (0.001, 0.3, 0.5)}, r"the target part has no nodes: fractions .* of 12 nodes"),
        ({"stratify": torch.zeros(3)}, r"one integer for each of the 12 nodes, got torch\.float32 \(3,\)"),
        ({"protocol": "leaky"}, "protocol must be one of 'disjoint', 'overlapping', got 'leaky'"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_splits_that_make_no_sense_are_refused(graph, change, message):
    with pytest.raises(ValueError, match=message):
        inductive_split(graph, **change)


@pytest.mark.parametrize(
    ("field", "value", "error", "message"),
    [
        ("x", None, TypeError, r"lacks x\."),
        ("x", torch.full((12, 2), torch.nan), ValueError, r"data\.x holds NaN or infinite values \(24 of 24"),
        ("x", torch.ones(12, 2, dtype=torch.int64), TypeError, "floating numbers"),
        ("x", np.ones((12, 2)), TypeError, "must be a torch tensor"),
        ("x", torch.ones(12), ValueError, r"shape \(N, d\)"),
        ("x", torch.eye(12).to_sparse_coo(), ValueError, "dense or sparse CSR"),
        (
            "edge_index",
            torch.tensor([[0, 12], [1, 1]]),
            ValueError,
            "names the nodes 0 to 12, but there are 12",
        ),
        ("edge_index", torch.tensor([[0, -1], [1, 1]]), ValueError, "names the nodes -1 to 1"),
        ("edge_index", torch.zeros(3, 2, dtype=torch.int64), ValueError, r"shape \(2, E\)"),
        ("edge_index", torch.zeros(2, 2), TypeError, "must hold integers"),
        ("edge_index", [[0], [1]], TypeError, "must be a torch tensor"),
    ],
)
def test_bad_graphs_are_refused(graph, field, value, error, message):
    setattr(graph, field, value)
    for use in (lambda: inductive_split(graph), lambda: cut_query(graph, 0.5)):
        with pytest.raises(error, match=message):
            use()


def test_bad_budgets_and_repeated_nodes_are_refused(graph):
    for q in (0.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"fraction must lie in \(0, 1\]"):
            cut_query(graph, q)
    with pytest.raises(ValueError, match="nodes names 1 nodes more than once"):
        induced_subgraph(graph, torch.tensor([1, 2, 1]))
    with pytest.raises(ValueError, match="nodes names the nodes 1 to 12"):
        induced_subgraph(graph, torch.tensor([1, 12]))


def test_edgeless_graphs_can_be_split(graph):
    graph.edge_index = torch.empty(2, 0, dtype=torch.int64)
    split = inductive_split(graph)
    assert split.query.edge_index.shape == (2, 0)
    assert split.to_frame()["isolated"].tolist() == [1.0, 1.0, 1.0]


def test_a_planted_leak_is_seen_by_the_overlap(graph):
    split = inductive_split(graph, seed=0)
    leaky = replace(
        split, query=induced_subgraph(graph, torch.cat([split.query.node_id, split.target.node_id[:1]]))
    )
    assert split.overlap["query"] == 0.0
    assert leaky.overlap["query"] == pytest.approx(1 / (len(split.query.node_id) + 1))


def test_the_published_ratio_is_cut_before_the_query_and_not_after(graph):
    # the target answers with sums over neighbours: with the whole graph as context, answers about the kept nodes differ
    class Sums(torch.nn.Module):
        def forward(self, x, edge_index):
            return x.index_add(0, edge_index[1], x[edge_index[0]])

    part = cut_query(graph, 0.5, seed=1)
    cut_first = GraphQueryAPI(Sums(), "logits", budget=6)
    cut_last = GraphQueryAPI(Sums(), "logits", budget=6)
    assert not torch.allclose(cut_first.query(part), cut_last.query(graph, part.node_id))
    assert (cut_first.n_queried, cut_first.n_context) == (6, 0)
    assert (cut_last.n_queried, cut_last.n_context) == (6, 6)  # the hidden context shows in the count
