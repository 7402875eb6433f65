"""The service: what it answers, what it counts, when it refuses, and what defences do."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn.models import GCN

from trustlib.gnn_stealing import (
    RESPONSES,
    Defence,
    GraphQueryAPI,
    Projection,
    QueryBudgetExceeded,
    TargetGNN,
    honest_accuracy,
    node_outputs,
    project,
)


class Copy(nn.Module):
    """Logits are the features."""

    def forward(self, x, edge_index):
        return x


@pytest.fixture
def model():
    return TargetGNN("sage", in_features=5, num_classes=3, hidden=4, seed=0)


def test_answers_are_the_models_outputs(model, graph):
    logits, embedding = node_outputs(model, graph)
    rows = torch.tensor([7, 0, 7])
    assert torch.equal(GraphQueryAPI(model, "logits").query(graph), logits)
    assert torch.equal(GraphQueryAPI(model, "embedding").query(graph, rows), embedding[rows])
    posterior = GraphQueryAPI(model, "posterior").query(graph)
    assert torch.allclose(posterior, logits.exp() / logits.exp().sum(1, keepdim=True), atol=1e-6)
    label = GraphQueryAPI(model, "label").query(graph)
    assert label.shape == (12, 1)
    assert torch.equal(label[:, 0], logits.argmax(1))


def test_posterior_by_hand(graph):
    graph.x = torch.tensor([[0.0, np.log(3.0)]] * 12).float()
    answers = GraphQueryAPI(Copy(), "posterior").query(graph, [0])
    assert answers.flatten().tolist() == pytest.approx([0.25, 0.75])  # 1 : 3


@given(st.lists(st.integers(0, 11), min_size=1, max_size=20), st.integers(0, 30))
def test_counts_are_exact_and_refusals_cost_nothing(nodes, budget):
    graph = SimpleNamespace(x=torch.eye(12), edge_index=torch.tensor([[0], [1]]))
    service = GraphQueryAPI(Copy(), "logits", budget=budget)
    total = context = 0
    for asked in (nodes, None, nodes):
        size = 12 if asked is None else len(asked)
        if total + size > budget:
            with pytest.raises(QueryBudgetExceeded) as caught:
                service.query(graph, asked)
            assert (caught.value.budget, caught.value.used, caught.value.asked) == (budget, total, size)
        else:
            service.query(graph, asked)
            total += size
            context += 0 if asked is None else 12 - len(set(asked))
        assert (service.n_queried, service.n_context, service.remaining) == (total, context, budget - total)
        assert total <= budget
    frame = service.to_frame()
    assert frame["answered"].sum() == total
    assert list(frame["total"]) == list(frame["answered"].cumsum())


def test_a_refused_query_does_not_run_the_model(graph):
    class Loud(nn.Module):
        def forward(self, x, edge_index):
            raise AssertionError

    with pytest.raises(
        QueryBudgetExceeded, match="asks for 12 answers, but 0 of 11 are used and 11 are left"
    ):
        GraphQueryAPI(Loud(), "logits", budget=11).query(graph)


def test_failed_queries_are_not_counted(graph):
    service = GraphQueryAPI(Copy(), "embedding", budget=12)
    with pytest.raises(ValueError, match="needs embeddings, and the model returns logits only"):
        service.query(graph)
    assert service.n_queried == 0
    assert service.log == ()


def test_the_log_says_what_was_sent(model, graph):
    service = GraphQueryAPI(model, "posterior")
    service.query(graph, [1, 2])
    record = service.log[0]
    assert (record.answered, record.context, record.edges, record.response, record.width) == (
        2,
        10,
        30,
        "posterior",
        3,
    )
    assert service.remaining is None
    assert GraphQueryAPI(model).to_frame().empty


def test_the_model_is_left_as_it_was(model, graph):
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    before = torch.get_rng_state()
    for response in RESPONSES:
        plane = Projection("pca") if response == "projection" else None
        GraphQueryAPI(model, response, noise_std=0.1, projection=plane).query(graph)
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(before, torch.get_rng_state())


def test_embeddings_of_a_model_of_torch_geometric_by_the_name_of_a_layer(graph):
    model = GCN(5, 8, num_layers=2, out_channels=3)
    answers = GraphQueryAPI(model, "embedding", embed="convs.0").query(graph, [3])
    expected = model.eval().convs[0](graph.x, graph.edge_index)[3:4]
    assert torch.allclose(answers, expected, atol=1e-6)


def test_noise_has_the_stated_deviation_is_fresh_and_follows_the_seed(graph):
    graph.x = torch.zeros(12, 500)
    service = GraphQueryAPI(Copy(), "logits", noise_std=2.0, seed=1)
    first, second = service.query(graph), service.query(graph)
    # 6000 numbers: standard error of the deviation 2 / sqrt(12000) = .018
    assert abs(float(first.std()) - 2.0) < 4 * 0.018
    assert abs(float(first.mean())) < 4 * 2 / np.sqrt(6000)
    assert not torch.equal(first, second)
    assert torch.equal(first, GraphQueryAPI(Copy(), "logits", noise_std=2.0, seed=1).query(graph))


def test_averaging_repeated_queries_takes_fresh_noise_off(graph):
    service = GraphQueryAPI(Copy(), "logits", noise_std=1.0)
    mean = torch.stack([service.query(graph) for _ in range(400)]).mean(0)
    assert float((mean - graph.x).abs().max()) < 4.5 / np.sqrt(400)  # 60 numbers of standard error 1/20
    assert service.n_queried == 4800  # which the count shows


@pytest.mark.parametrize(
    ("defence", "expected"),
    [
        # from [.26, .04, .70]
        (Defence(), [0.26, 0.04, 0.70]),
        (Defence(decimals=1), [0.3, 0.0, 0.7]),
        (Defence(top_k=1), [0.0, 0.0, 0.70]),
        (Defence(top_k=2, decimals=1), [0.3, 0.0, 0.7]),
        (Defence(decimals=0), [0.0, 0.0, 1.0]),
    ],
)
def test_defences_by_hand(defence, expected):
    answers = torch.tensor([[0.26, 0.04, 0.70]])
    out = defence(answers, generator=torch.Generator())
    assert out.flatten().tolist() == pytest.approx(expected, abs=1e-6)
    assert answers.flatten().tolist() == pytest.approx([0.26, 0.04, 0.70])


def test_noise_comes_before_rounding_and_top_k(graph):
    service = GraphQueryAPI(Copy(), "posterior", noise_std=0.5, decimals=1, top_k=2)
    answers = service.query(graph)
    assert torch.allclose(answers * 10, (answers * 10).round(), atol=1e-4)
    assert ((answers != 0).sum(1) <= 2).all()


def test_honest_users_lose_with_noise_and_not_by_keeping_the_first_class(graph):
    graph.x = 4 * torch.eye(3).repeat(4, 1)  # four nodes of every class, all classified rightly
    assert honest_accuracy(GraphQueryAPI(Copy(), "posterior"), graph) == 1.0
    assert honest_accuracy(GraphQueryAPI(Copy(), "posterior", top_k=1), graph) == 1.0
    assert honest_accuracy(GraphQueryAPI(Copy(), "label"), graph) == 1.0
    noisy = GraphQueryAPI(Copy(), "posterior", noise_std=50.0)
    assert honest_accuracy(noisy, graph) < 0.9
    assert noisy.n_queried == 0  # measured with a meter of its own
    with pytest.raises(ValueError, match="name no class"):
        honest_accuracy(GraphQueryAPI(Copy(), "embedding"), graph)
    graph.y = None
    with pytest.raises(ValueError, match=r"data\.y is missing"):
        honest_accuracy(noisy, graph)


def test_projection_separates_what_is_apart_and_shows_nothing_else(citations):
    y = torch.arange(60) % 3
    x = 10 * torch.eye(3)[y] + 0.1 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    graph = SimpleNamespace(x=x, edge_index=torch.empty(2, 0, dtype=torch.int64), y=y)
    for plane in (Projection("tsne", perplexity=5), Projection("pca")):
        service = GraphQueryAPI(Copy(), "projection", embed=lambda m, x, e: x, projection=plane)
        answers = service.query(graph)
        assert answers.shape == (60, 2)
        centres = torch.stack([answers[y == c].mean(0) for c in range(3)])
        spread = torch.stack([(answers[y == c] - centres[c]).norm(dim=1).mean() for c in range(3)])
        assert torch.cdist(centres, centres)[0, 1] > 3 * spread.max()
        assert service.n_queried == 60


def test_principal_components_are_those_of_a_decomposition():
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plane = project(x, Projection("pca"))
    u, s, _ = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    assert torch.allclose(plane.abs(), (u[:, :2] * s[:2]).abs(), atol=1e-9)
    assert project(x[:, :1], Projection("pca")).shape == (30, 2)  # one number per node: the second is 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraphQueryAPI(Copy(), "prediction"), "response must be one of 'embedding', 'logits'"),
        (lambda: GraphQueryAPI(Copy(), "logits", budget=-1), "budget must be at least 0"),
        (lambda: GraphQueryAPI(Copy(), "logits", noise_std=-0.1), r"noise_std must lie in \[0, infinity\)"),
        (lambda: GraphQueryAPI(Copy(), "logits", top_k=2), 'top_k is for response="posterior"'),
        (lambda: GraphQueryAPI(Copy(), "label", decimals=1), "decimals has no meaning"),
        (lambda: GraphQueryAPI(Copy(), "logits", projection=Projection()), "projection is for"),
        (lambda: Defence(top_k=0), "top_k must be at least 1"),
        (lambda: Defence(decimals=-1), "decimals must be at least 0"),
        (lambda: Projection("umap"), "method must be one of 'tsne', 'pca'"),
        (lambda: Projection(perplexity=0.0), r"perplexity must lie in \(0, infinity\)"),
        (lambda: project(torch.ones(2, 3), Projection("pca")), "a plane through 2 nodes"),
    ],
)
def test_services_that_make_no_sense_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("nodes", "error", "message"),
    [
        ([], ValueError, "at least one node"),
        ([12], ValueError, "nodes names the nodes 12 to 12"),
        ([[0]], ValueError, r"got shape \(1, 1\)"),
        (torch.ones(12, dtype=torch.bool), TypeError, "got a mask"),
    ],
)
def test_queries_about_nothing_are_refused(graph, nodes, error, message):
    with pytest.raises(error, match=message):
        GraphQueryAPI(Copy(), "logits").query(graph, nodes)


def test_other_refusals(graph):
    with pytest.raises(TypeError, match="must be a torch module, got function"):
        GraphQueryAPI(lambda x, e: x)
    service = GraphQueryAPI(Copy(), "projection", embed=lambda m, x, e: x)
    with pytest.raises(ValueError, match="t-SNE with perplexity 30 needs more than 90 nodes, got 12"):
        service.query(graph)
    assert service.n_queried == 0
    with pytest.raises(ValueError, match="top_k must be at most 5, the number of classes, got 6"):
        GraphQueryAPI(Copy(), "posterior", top_k=6).query(graph)
    graph.x[3, 2] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        GraphQueryAPI(Copy(), "logits").query(graph)
