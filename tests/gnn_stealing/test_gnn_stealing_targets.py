"""Targets and their training: equations as dense matrices, bounded evaluation, foreign models, errors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

from trustlib.data import load_graph
from trustlib.gnn_stealing import (
    ARCHITECTURES,
    GraphQueryAPI,
    TargetGNN,
    accuracy_of,
    inductive_split,
    neighbourhood_outputs,
    node_outputs,
    target_labels,
    targets,
    train_target,
)


@pytest.fixture(scope="module")
def split(citations):
    return inductive_split(citations, (0.4, 0.2, 0.4), seed=0, stratify=citations.data.y)


def dense_reference(model, x, edge_index):
    """The target's equations with a dense matrix; multiplicities of edges count."""
    n = len(x)
    a = torch.zeros(n, n)
    for s, r in edge_index.t().tolist():
        a[r, s] += 1
    without = a * (1 - torch.eye(n))
    h, embedding = x, None
    for i in range(3):
        last = i == 2
        weight, bias = model.linears[i].weight.t(), model.biases[i]
        if model.architecture == "gin":
            degree = a.sum(1, keepdim=True).clamp(min=1)
            h = (h + (a @ h / degree if last else a @ h)) @ weight + bias
        elif model.architecture == "sage":
            mean = h if last else (without @ h + h) / (without.sum(1, keepdim=True) + 1)
            h = mean @ weight + bias
        else:
            layer, looped = model.aggregations[i], without + torch.eye(n)
            z = (h @ weight).view(n, 4, -1)
            score = (z * layer.att_src).sum(-1)[None] + (z * layer.att_dst).sum(-1)[
                :, None
            ]  # (receiver, sender, head)
            score = torch.where(score > 0, score, 0.2 * score).exp() * looped[:, :, None]
            z = torch.einsum("rsh,shk->rhk", score / score.sum(1, keepdim=True), z)
            h = (z.mean(1) if last else z.flatten(1)) + bias
        if not last:
            h = h.relu()
        if i == 1:
            embedding = h.view(n, 4, -1).mean(1) if model.architecture == "gat" else h
    return h, embedding


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_targets_are_their_equations(architecture, graph):
    model = TargetGNN(architecture, in_features=5, num_classes=3, hidden=6, seed=1).eval()
    for bias in model.biases:
        bias.data.uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    logits, embedding = node_outputs(model, graph)
    expected = dense_reference(model, graph.x, graph.edge_index)
    assert torch.allclose(logits, expected[0], atol=1e-5)
    assert embedding is not None
    assert embedding.shape == (12, 6)
    assert torch.allclose(embedding, expected[1], atol=1e-5)
    assert (embedding >= 0).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bounded_evaluation_is_exact(architecture, citations, monkeypatch):
    model = TargetGNN(architecture, in_features=400, num_classes=6, hidden=8, seed=1)
    whole = node_outputs(model, citations)
    for numbers in (1, 300, 8000):  # 1: less than a single message, so every node comes alone
        monkeypatch.setattr(targets, "_NUMBERS_AT_ONCE", numbers)
        parts = node_outputs(model, citations)
        assert torch.allclose(parts[0], whole[0], atol=1e-5)
        assert torch.allclose(parts[1], whole[1], atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_beats_the_majority_on_new_nodes_and_can_be_repeated(architecture, split):
    before = torch.get_rng_state()
    model = train_target(architecture, split.target, epochs=40, hidden=32, lr=0.01, seed=0)
    assert torch.equal(before, torch.get_rng_state())
    assert not model.training
    assert len(model.training_losses) == 40
    assert model.training_losses[-1] < 0.5 * model.training_losses[0]
    majority = torch.bincount(split.test.y).max() / len(split.test.y)
    # 240 test nodes, majority about .26: standard error .03
    assert accuracy_of(model, split.test) > majority + 0.15
    again = train_target(architecture, split.target, epochs=40, hidden=32, lr=0.01, seed=0)
    assert torch.equal(node_outputs(model, split.test)[0], node_outputs(again, split.test)[0])
    other = train_target(architecture, split.target, epochs=2, hidden=32, seed=1)
    assert not torch.equal(model.linears[0].weight, other.linears[0].weight)


def test_shuffled_labels_teach_nothing_about_new_nodes(split):
    shuffled = split.target.clone()
    shuffled.y = shuffled.y[torch.randperm(len(shuffled.y), generator=torch.Generator().manual_seed(0))]
    model = train_target("sage", shuffled, epochs=40, hidden=32, lr=0.01, seed=0)
    # guesses in proportion to the classes are right with probability sum of squared shares, .19; s.e. .025
    assert accuracy_of(model, split.test) < 0.19 + 4 * 0.03


@pytest.mark.parametrize("architecture", ["gin", "sage"])
def test_mini_batches_train_as_well(architecture, split):
    model = train_target(architecture, split.target, epochs=25, hidden=32, lr=0.01, batch_size=64, seed=0)
    assert len(model.training_losses) == 25
    assert accuracy_of(model, split.test) > 0.45


@pytest.mark.parametrize("kind", [GCN, GIN, GraphSAGE, GAT])
def test_models_of_torch_geometric_are_trained_as_copies(kind, split):
    model = kind(400, 16, num_layers=2, out_channels=6)
    start = [p.clone() for p in model.parameters()]
    trained = train_target(model, split.target, epochs=20, lr=0.01, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(start, model.parameters(), strict=True))
    assert accuracy_of(trained, split.test) > accuracy_of(model, split.test)
    assert target_labels(trained, split.test).shape == (240,)


def test_sparse_features_train_the_same_target(citations):
    dense, sparse = citations.to_data(sparse=False), citations.to_data(sparse=True)
    one, other = (train_target("gin", data, epochs=3, hidden=8, seed=0) for data in (dense, sparse))
    assert one.training_losses == pytest.approx(other.training_losses, rel=1e-4)
    assert torch.allclose(node_outputs(one, dense)[0], node_outputs(other, sparse)[0], atol=1e-3)


def test_models_without_sparse_features_are_given_dense_ones(citations):
    model = GCN(400, 8, num_layers=2, out_channels=6)
    dense, sparse = citations.to_data(sparse=False), citations.to_data(sparse=True)
    assert torch.allclose(node_outputs(model, dense)[0], node_outputs(model, sparse)[0], atol=1e-6)
    train_target(model, sparse, epochs=1, batch_size=200, fanouts=(5, 5), seed=0)


class Pair(nn.Module):
    """Returns logits and an embedding."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, x, edge_index):
        return self.linear(x), x[:, :2]


def test_outputs_as_a_pair_by_function_and_by_layer(graph):
    model = Pair()
    assert torch.equal(node_outputs(model, graph)[1], graph.x[:, :2])
    assert torch.equal(node_outputs(model, graph, embed=lambda m, x, e: 2 * x)[1], 2 * graph.x)
    assert torch.equal(node_outputs(model, graph, embed="linear")[1], node_outputs(model, graph)[0])
    assert not model.linear._forward_hooks  # nothing is left behind


def test_outputs_keep_the_mode_of_every_submodule(graph):
    model = TargetGNN("gin", in_features=5, num_classes=3, hidden=4, seed=0).train()
    model.linears[1].eval()
    modes = [m.training for m in model.modules()]
    first, second = node_outputs(model, graph)[0], node_outputs(model, graph)[0]
    assert torch.equal(first, second)  # no dropout
    assert not first.requires_grad
    assert [m.training for m in model.modules()] == modes


@pytest.mark.parametrize("kind", [GCN, GIN, GraphSAGE])
def test_neighbourhoods_give_the_outputs_of_the_whole_graph(kind, citations):
    model = kind(400, 8, num_layers=2, out_channels=6).eval()
    hops = 3 if kind is GCN else 2  # GCN looks at the degree of the sender
    name = "convs.0"
    logits, embedding = neighbourhood_outputs(model, citations, hops=hops, nodes_at_once=150, embed=name)
    expected = node_outputs(model, citations, embed=name)
    assert torch.allclose(logits, expected[0], atol=1e-5)
    assert torch.allclose(embedding, expected[1], atol=1e-5)


def test_too_short_neighbourhoods_are_noticed_by_the_comparison(citations):
    model = GIN(400, 8, num_layers=2, out_channels=6).eval()
    logits, embedding = neighbourhood_outputs(model, citations, hops=1, nodes_at_once=150)
    assert embedding is None
    assert not torch.allclose(logits, node_outputs(model, citations)[0], atol=1e-5)


def lacking(**change):
    fields = {
        "x": torch.ones(4, 5),
        "edge_index": torch.tensor([[0, 1], [1, 2]]),
        "y": torch.tensor([0, 1, 0, 1]),
    }
    return SimpleNamespace(**fields | change)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (lacking(edge_index=torch.empty(2, 0, dtype=torch.int64)), ValueError, "data has no edges"),
        (lacking(edge_index=torch.tensor([[0], [9]])), ValueError, "names the nodes 0 to 9, but there are 4"),
        (lacking(x=torch.full((4, 5), torch.nan)), ValueError, "NaN or infinite values"),
        (lacking(y=torch.ones(4, dtype=torch.int64)), ValueError, r"one class only \(1\)"),
        (lacking(y=torch.tensor([0, -1, 0, 1])), ValueError, "negative class -1"),
        (lacking(y=torch.tensor([0, 1])), ValueError, "one integer class for each of the 4 nodes"),
        (lacking(y=torch.eye(4)), ValueError, "argmax of one-hot"),
        (lacking(y=None), TypeError, r"data\.y must be a tensor"),
    ],
)
def test_graphs_that_cannot_teach_are_refused(data, error, message):
    with pytest.raises(error, match=message):
        train_target("gin", data, seed=0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"target": "mlp"}, ValueError, "target must be one of"),
        ({"target": 3}, TypeError, "an architecture or a torch module, got int"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
        ({"lr": 0.0}, ValueError, r"lr must lie in \(0, infinity\)"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": 2, "fanouts": (0,)}, ValueError, "fanouts must be >= 1, or -1"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
    ],
)
def test_training_that_makes_no_sense_is_refused(graph, change, error, message):
    arguments = {"target": "gin", "epochs": 1, "seed": 0, "hidden": 4} | change
    with pytest.raises(error, match=message):
        train_target(arguments.pop("target"), graph, **arguments)


def test_diverging_training_is_an_error(graph):
    graph.x = graph.x * 1e30
    with pytest.raises(FloatingPointError, match="training diverged"):
        train_target("gin", graph, epochs=3, lr=1e10, hidden=4, seed=0)


class Pooled(nn.Module):
    def forward(self, x, edge_index):
        return x.mean(0, keepdim=True)


class Broken(nn.Module):
    def forward(self, x, edge_index):
        return x / 0


@pytest.mark.parametrize(
    ("model", "embed", "error", "message"),
    [
        (Pooled(), None, ValueError, r"one row for each of the 12 nodes, got \(1, 5\)"),
        (Broken(), None, ValueError, "NaN or infinite values in 12 rows"),
        (Pair(), "conv2", ValueError, r"no submodule 'conv2'\. Submodules: linear"),
        (lambda x, e: x, None, TypeError, "must be a torch module"),
        (nn.Sequential(), "", ValueError, "no submodule ''"),
    ],
)
def test_models_that_do_not_answer_for_nodes_are_refused(graph, model, embed, error, message):
    with pytest.raises(error, match=message):
        node_outputs(model, graph, embed=embed)


def test_a_layer_that_runs_twice_is_no_embedding(graph):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 5)

        def forward(self, x, edge_index):
            return self.linear(self.linear(x))

    with pytest.raises(ValueError, match="'linear' ran 2 times"):
        node_outputs(Twice(), graph, embed="linear")


def test_accuracy_needs_classes(graph):
    graph.y = None
    with pytest.raises(ValueError, match=r"data\.y is missing"):
        accuracy_of(Pair(), graph)


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["acm", "citeseer", "cora", "amazon_photo", "dblp", "coauthor_physics"])
def test_real_graphs_are_split_trained_on_and_queried_without_surprises(real_data, name):
    split = inductive_split(load_graph(name), seed=0)
    for architecture in ARCHITECTURES:
        model = train_target(architecture, split.target, epochs=2, hidden=8, seed=0)
        service = GraphQueryAPI(model, "embedding", budget=split.query.num_nodes)
        answers = service.query(split.query)
        assert answers.shape == (split.query.num_nodes, 8)
        assert torch.isfinite(answers).all()
        assert service.remaining == 0
