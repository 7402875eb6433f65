"""Attacks: they learn what they are asked to, look at no label, leave no trace, and refuse what cannot work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from trustlib.gnn_stealing import (
    ContrastiveStealer,
    DistillationStealer,
    RmseStealer,
    SpectralReweighting,
    Surrogate,
    knn_graph_from_features,
)

KINDS = (RmseStealer, ContrastiveStealer, DistillationStealer)


@pytest.fixture
def graph():
    """A ring of 12 nodes with one-hot features, and labels that nobody needs."""
    nodes = torch.arange(12)
    edges = torch.stack([nodes, nodes.roll(1)])
    y = nodes % 2
    return SimpleNamespace(x=torch.eye(12), edge_index=torch.cat([edges, edges.flip(0)], 1), y=y)


def surrogate(width, **options):
    return Surrogate("sage", in_features=12, out_features=width, hidden=16, dropout=0.0, seed=1, **options)


def answers(width, *, seed=0):
    return torch.rand(12, width, generator=torch.Generator().manual_seed(seed)).softmax(1)


def test_regression_fits_its_responses(graph):
    goal = answers(3)
    stealer = RmseStealer(surrogate(3), epochs=400, lr=0.02).fit(graph, goal)
    assert float((stealer.embed(graph) - goal).abs().max()) < 0.02
    assert stealer.history[-1] < 0.1 * stealer.history[0]


def test_first_loss_of_regression_is_that_of_the_untrained_surrogate(graph):
    goal = answers(3)
    before = surrogate(3).eval()(graph.x, graph.edge_index).detach()
    square = sum(float((before[i, k] - goal[i, k]) ** 2) for i in range(12) for k in range(3))
    stealer = RmseStealer(surrogate(3), epochs=1).fit(graph, goal)
    assert stealer.history[0] == pytest.approx((square / 36) ** 0.5, rel=1e-5)


def test_standardised_regression_answers_in_the_unit_of_the_responses(graph):
    goal = 1000 + 50 * answers(3)
    stealer = RmseStealer(surrogate(3), epochs=400, lr=0.02, standardize=True).fit(graph, goal)
    assert float((stealer.embed(graph) - goal).abs().max()) < 5


def test_distillation_reaches_the_entropy_of_the_posteriors(graph):
    goal = answers(3)
    stealer = DistillationStealer(surrogate(3), epochs=400, lr=0.02).fit(graph, goal)
    entropy = float(-(goal * goal.log()).sum(1).mean())
    assert entropy - 1e-6 < stealer.history[-1] < entropy + 0.01


def test_distillation_takes_answers_that_a_defence_made_no_distribution(graph):
    goal = torch.zeros(12, 3)
    goal[0] = torch.tensor([2.0, -1.0, 0.0])  # counts as (1, 0, 0); rows of zeros as uniform
    stealer = DistillationStealer(surrogate(3), epochs=300, lr=0.02).fit(graph, goal)
    shares = stealer.embed(graph).softmax(1)
    assert float(shares[0, 0]) > 0.9
    assert float((shares[1:] - 1 / 3).abs().max()) < 0.1


def test_contrast_recognises_its_own_answers(graph):
    goal = answers(8)
    stealer = ContrastiveStealer(surrogate(8), epochs=300, lr=0.02, keep_prob=1.0).fit(graph, goal)
    project = lambda z: torch.nn.functional.normalize(torch.nn.functional.elu(stealer.projector(z)), dim=1)  # noqa: E731
    similarity = project(stealer.embed(graph)) @ project(goal).T
    assert similarity.argmax(1).tolist() == list(range(12))
    floor = float(torch.log1p(22 * torch.exp(torch.tensor(-2.0))))
    assert floor < stealer.history[-1] < stealer.history[0]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_never_looked_at(graph, kind):
    first = kind(surrogate(3), epochs=5).fit(graph, answers(3)).surrogate.state_dict()
    graph.y = 1 - graph.y
    second = kind(surrogate(3), epochs=5).fit(graph, answers(3)).surrogate.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", KINDS)
def test_same_generator_same_weights_and_no_trace(graph, kind):
    state = torch.get_rng_state()
    goal, x = answers(3), graph.x.clone()
    found = [
        kind(surrogate(3), epochs=3, batch_size=5).fit(
            graph, goal, generator=torch.Generator().manual_seed(4)
        )
        for _ in range(2)
    ]
    first, second = (f.surrogate.state_dict() for f in found)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(graph.x, x)
    assert torch.equal(goal, answers(3))
    assert not found[0].surrogate.training


def test_batches_with_all_neighbours_train_like_the_whole_graph(graph):
    goal = answers(3)
    whole = RmseStealer(surrogate(3), epochs=200, lr=0.02).fit(graph, goal)
    parts = RmseStealer(surrogate(3), epochs=100, lr=0.02, batch_size=6, fanouts=(-1, -1)).fit(graph, goal)
    assert float((whole.embed(graph) - parts.embed(graph)).abs().max()) < 0.15


def test_spectral_views_and_masks_go_through(graph):
    stealer = ContrastiveStealer(surrogate(3), epochs=45, augment=SpectralReweighting())
    assert len(stealer.fit(graph, answers(3)).history) == 45


def test_a_foreign_surrogate_without_weights(graph):
    from trustlib.data import import_geometric

    import_geometric()
    from torch_geometric.nn.models import GCN

    torch.manual_seed(0)
    stealer = RmseStealer(GCN(12, 8, 2, 3), epochs=2).fit(graph, answers(3))
    assert stealer.embed(graph).shape == (12, 3)


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        (torch.zeros(11, 3), "one row for each of the 12 query nodes"),
        (torch.zeros(12, dtype=torch.long), "floating tensor"),
        (torch.full((12, 3), torch.nan), "NaN or infinite values in 12 of 12"),
    ],
)
def test_responses_that_cannot_be_learned(graph, responses, message):
    with pytest.raises((TypeError, ValueError), match=message):
        RmseStealer(surrogate(3), epochs=1).fit(graph, responses)


def test_settings_that_make_no_sense():
    with pytest.raises(TypeError, match="surrogate must be a torch module"):
        RmseStealer(lambda x: x)
    with pytest.raises(ValueError, match="epochs"):
        RmseStealer(surrogate(3), epochs=0)
    with pytest.raises(ValueError, match="keep_prob"):
        ContrastiveStealer(surrogate(3), keep_prob=0.0)
    with pytest.raises(ValueError, match="temperature"):
        DistillationStealer(surrogate(3), temperature=0.0)


def test_one_node_has_nothing_to_be_told_from():
    lone = SimpleNamespace(x=torch.ones(1, 12), edge_index=torch.empty(2, 0, dtype=torch.long))
    with pytest.raises(ValueError, match="1 nodes, this loss needs at least 2"):
        ContrastiveStealer(surrogate(3), epochs=1).fit(lone, torch.ones(1, 3))


def test_nearest_neighbours_by_a_plain_loop():
    x = torch.rand(9, 4, generator=torch.Generator().manual_seed(0))
    found = {tuple(pair) for pair in knn_graph_from_features(x, 2).T.tolist()}
    expected = set()
    for i in range(9):
        others = [j for j in range(9) if j != i]
        cosine = lambda j, i=i: float(x[i] @ x[j] / (x[i].norm() * x[j].norm()))  # noqa: E731
        for j in sorted(others, key=cosine, reverse=True)[:2]:
            expected |= {(i, j), (j, i)}
    assert found == expected


def test_neighbours_by_distance_and_for_sparse_features():
    x = torch.tensor([[0.0, 1.0], [0.0, 5.0], [0.0, 6.5]])
    assert knn_graph_from_features(x, 1, metric="euclidean").tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    from trustlib.gnn_stealing.messages import csr_matrix

    sparse = csr_matrix(torch.arange(4), torch.tensor([1, 1, 1]), x[:, 1], (3, 2))
    assert torch.equal(knn_graph_from_features(sparse, 1), knn_graph_from_features(x, 1))


def test_neighbours_that_do_not_exist():
    with pytest.raises(ValueError, match="k must be less than the number of nodes"):
        knn_graph_from_features(torch.eye(3), 3)
    with pytest.raises(ValueError, match="metric"):
        knn_graph_from_features(torch.eye(3), 1, metric="hamming")
