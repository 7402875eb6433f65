"""Messages and layers with edge weights, against plain loops, torch_geometric's layers and finite differences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.nn import GATConv, GraphConv

from trustlib.gnn_stealing import (
    ARCHITECTURES,
    FeatureLinear,
    MessageGraph,
    Surrogate,
    WeightedGATConv,
    WeightedGINConv,
    WeightedSAGEConv,
)

LAYERS = {"sage": WeightedSAGEConv, "gin": WeightedGINConv, "gat": WeightedGATConv}


def looped(edge_index, weight, n):
    """Edges as a list (sender, receiver, weight) with one more loop of weight 1 where a node has none."""
    edges = [(int(a), int(b), float(w)) for (a, b), w in zip(edge_index.t(), weight, strict=True)]
    have = {a for a, b, _ in edges if a == b}
    return edges + [(i, i, 1.0) for i in range(n) if i not in have]


def loop_mean(h, edges):
    """(1 / number of messages) sum w h, one node at a time."""
    rows = []
    for i in range(len(h)):
        mine = [(a, w) for a, b, w in edges if b == i]
        rows.append(sum(w * h[a] for a, w in mine) / len(mine))
    return torch.stack(rows)


def reference(layer, x, edges):
    """The layer's equation as loops."""
    if isinstance(layer, WeightedSAGEConv):
        mean = loop_mean(x, edges)
        return x @ layer.root.weight.t() + layer.root.bias + mean @ layer.neighbours.weight.t()
    if isinstance(layer, WeightedGINConv):
        return (x + loop_mean(x, edges)) @ layer.linear.weight.t() + layer.bias
    heads = []
    for k in range(layer.heads):
        width = layer.out_features
        h = x @ layer.linear.weight[k * width : (k + 1) * width].t()
        rows = []
        for i in range(len(x)):
            mine = [(a, w) for a, b, w in edges if b == i]
            score = torch.stack([h[a] @ layer.as_sender[k] + h[i] @ layer.as_receiver[k] for a, _ in mine])
            share = torch.where(score > 0, score, layer.slope * score).softmax(0)
            rows.append(sum(s * w * h[a] for s, (a, w) in zip(share, mine, strict=True)))
        heads.append(torch.stack(rows))
    return (torch.cat(heads, 1) if layer.concat else sum(heads) / layer.heads) + layer.bias


@given(st.data())
def test_layers_are_their_equations(draw):
    n, m = draw.draw(st.integers(1, 8)), draw.draw(st.integers(0, 20))
    generator = torch.Generator().manual_seed(draw.draw(st.integers(0, 999)))
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    edge_index = torch.randint(0, n, (2, m), generator=generator)
    weight = torch.rand(m, generator=generator, dtype=torch.float64)
    kind = draw.draw(st.sampled_from(ARCHITECTURES))
    layer = LAYERS[kind](3, 2).double()
    out = layer(x, edge_index, weight)
    assert torch.allclose(out, reference(layer, x, looped(edge_index, weight, n)), atol=1e-10)
    order = torch.randperm(m, generator=generator)
    assert torch.allclose(out, layer(x, edge_index[:, order], weight[order]), atol=1e-12)


def test_mean_divides_by_the_number_of_messages_by_hand():
    # node 1 hears 0 with weight .5 and itself with weight 1: (.5 * 4 + 1 * 2) / 2 = 2, not (...) / 1.5 = 2.67
    graph = MessageGraph.build(torch.tensor([[0], [1]]), torch.tensor([0.5]), num_nodes=2)
    assert graph.mean(torch.tensor([[4.0], [2.0]])).tolist() == [[4.0], [2.0]]
    assert graph.count.tolist() == [1, 2]
    assert graph.total(torch.tensor([[4.0], [2.0]])).tolist() == [[4.0], [4.0]]


def test_loops_that_are_there_keep_their_weight_and_are_not_doubled():
    graph = MessageGraph.build(torch.tensor([[0, 0], [0, 1]]), torch.tensor([1.1, 0.9]), num_nodes=3)
    found = dict(
        zip(
            zip(graph.sender.tolist(), graph.receiver.tolist(), strict=True),
            graph.weight.tolist(),
            strict=True,
        )
    )
    assert found == {(0, 0): pytest.approx(1.1), (0, 1): pytest.approx(0.9), (1, 1): 1.0, (2, 2): 1.0}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_gradients_are_those_of_finite_differences(kind, graph):
    x = graph.x.double().requires_grad_()
    layer = LAYERS[kind](5, 2).double()
    weight = torch.rand(30, generator=torch.Generator().manual_seed(1)).double()
    assert torch.autograd.gradcheck(lambda x: layer(x, graph.edge_index, weight), (x,))


def test_gradient_of_given_weights_is_that_of_finite_differences(graph):
    prepared = MessageGraph.build(graph.edge_index, num_nodes=12)
    h = graph.x.double().requires_grad_()
    weight = (
        torch.rand(len(prepared.sender), generator=torch.Generator().manual_seed(2)).double().requires_grad_()
    )
    assert torch.autograd.gradcheck(lambda h, w: prepared.total(h, w), (h, weight))


def test_sage_is_torch_geometrics_mean_with_weights_and_loops(graph):
    layer, other = WeightedSAGEConv(5, 4), GraphConv(5, 4, aggr="mean")
    other.lin_rel.weight, other.lin_root.weight = layer.neighbours.weight, layer.root.weight
    other.lin_rel.bias = layer.root.bias
    weight = torch.rand(30, generator=torch.Generator().manual_seed(3))
    prepared = MessageGraph.build(graph.edge_index, weight, num_nodes=12)
    edges = torch.stack([prepared.sender, prepared.receiver])
    expected = other(graph.x, edges, prepared.weight)
    assert torch.allclose(layer(graph.x, graph.edge_index, weight), expected, atol=1e-5)


@pytest.mark.parametrize("concat", [True, False])
def test_attention_is_torch_geometrics_at_equal_weights(graph, concat):
    layer = WeightedGATConv(5, 4, heads=3, concat=concat)
    other = GATConv(5, 4, heads=3, concat=concat, add_self_loops=False)
    other.lin.weight = layer.linear.weight
    other.att_src.data, other.att_dst.data = layer.as_sender.data[None], layer.as_receiver.data[None]
    prepared = MessageGraph.build(graph.edge_index, num_nodes=12)
    expected = other(graph.x, torch.stack([prepared.sender, prepared.receiver]))
    assert torch.allclose(layer(graph.x, graph.edge_index), expected, atol=1e-5)
    halved = layer(graph.x, prepared.__class__.build(graph.edge_index, torch.full((30,), 0.5), num_nodes=12))
    assert not torch.allclose(halved, expected, atol=1e-3)  # the weight acts after the softmax


def test_softmax_sums_to_one_and_survives_large_scores(graph):
    prepared = MessageGraph.build(graph.edge_index, num_nodes=12)
    score = 1000 * torch.randn(len(prepared.sender), 2, generator=torch.Generator().manual_seed(0))
    share = prepared.softmax(score)
    sums = torch.zeros(12, 2).index_add(0, prepared.receiver, share)
    assert torch.allclose(sums, torch.ones(12, 2), atol=1e-5)


def test_sparse_features_give_the_same_outputs_and_gradients(citations):
    dense, sparse = citations.to_data(sparse=False), citations.to_data(sparse=True)
    grads = []
    for x in (dense.x, sparse.x):
        layer = FeatureLinear(400, 3)
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(-1, 1, 1200).view(3, 400))
            layer.bias.fill_(0.5)
        out = layer(x)
        out.square().sum().backward()
        grads.append((out.detach(), layer.weight.grad, layer.bias.grad))
    for one, other in zip(*grads, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_surrogates_take_prepared_edges_sparse_features_and_lonely_nodes(kind, citations):
    sparse = citations.to_data(sparse=True)
    model = Surrogate(kind, in_features=400, out_features=7, hidden=16, seed=0).eval()
    plain = model(citations.data.x, sparse.edge_index)
    prepared = MessageGraph.build(sparse.edge_index, num_nodes=600)
    assert plain.shape == (600, 7)
    assert torch.allclose(plain, model(sparse.x, prepared), atol=1e-5)
    assert (plain < 0).any()
    alone = model(citations.data.x[:4], torch.empty(2, 0, dtype=torch.int64))
    assert torch.isfinite(alone).all()
    relu = Surrogate(kind, in_features=400, out_features=7, hidden=16, output_relu=True, seed=0).eval()
    assert torch.equal(relu(sparse.x, prepared), model(sparse.x, prepared).relu())


def test_surrogates_follow_their_seed_and_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    one, same, other = (Surrogate("gat", in_features=3, out_features=2, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    first = [next(iter(model.parameters())) for model in (one, same, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_a_node_sees_as_far_as_there_are_layers(kind, layers):
    path = torch.stack([torch.arange(5), torch.arange(1, 6)])  # 0 -> 1 -> ... -> 5
    model = Surrogate(kind, in_features=2, out_features=2, hidden=8, layers=layers, seed=3).eval()
    x = torch.ones(6, 2)
    changed = x.clone()
    changed[0] = 5.0
    differs = (model(x, path) - model(changed, path)).abs().sum(1) > 1e-7
    assert not differs[layers + 1 :].any()
    assert differs[0]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(3), r"one number for each of the 30 edges, got \(3,\)"),
        (torch.full((30,), torch.nan), "30 values that are not finite"),
        ([1.0] * 30, "got list"),
    ],
)
def test_weights_that_do_not_fit_are_refused(graph, weight, message):
    with pytest.raises(ValueError, match=message):
        WeightedGINConv(5, 2)(graph.x, graph.edge_index, weight)


def test_prepared_edges_that_do_not_fit_are_refused(graph):
    prepared = MessageGraph.build(graph.edge_index, num_nodes=12)
    with pytest.raises(ValueError, match="edge_weight is part of a MessageGraph"):
        WeightedGINConv(5, 2)(graph.x, prepared, torch.ones(30))
    with pytest.raises(ValueError, match="x has 3 rows, but the MessageGraph has 12 nodes"):
        WeightedGINConv(5, 2)(graph.x[:3], prepared)
    with pytest.raises(ValueError, match="names the nodes"):
        WeightedGINConv(5, 2)(graph.x[:3], graph.edge_index)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"architecture": "mlp"}, ValueError, "architecture must be one of 'gin', 'gat', 'sage', got 'mlp'"),
        ({"hidden": 0}, ValueError, "hidden must be at least 1"),
        ({"layers": 1.5}, TypeError, "layers must be a whole number"),
        ({"dropout": 1.5}, ValueError, r"dropout must lie in \[0, 1\]"),
        ({"heads": 0, "architecture": "gat"}, ValueError, "heads must be at least 1"),
    ],
)
def test_surrogates_that_make_no_sense_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        Surrogate(**{"architecture": "gin", "in_features": 3, "out_features": 2, "seed": 0} | change)
