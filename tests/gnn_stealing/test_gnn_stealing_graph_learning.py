"""The learned graph: its formulas by hand, what it gains from the classes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trustlib.data import load_graph
from trustlib.gnn_stealing import learn_graph, weighted_cosine
from trustlib.gnn_stealing.graph_learning import LearnedGraph, _Penalty, sparsified

N, CLASSES = 60, 3


def informative(seed: int, *, strength: float = 1.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Five columns that depend on the class, and forty-five louder ones that do not."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(N) % CLASSES
    centres = torch.randn(CLASSES, 5, generator=generator) * strength
    signal = centres[y] + torch.randn(N, 5, generator=generator) * 0.5
    noise = torch.randn(N, 45, generator=generator) * 1.5
    return torch.cat([signal, noise], dim=1), y


def same_class(edges: torch.Tensor, y: torch.Tensor) -> float:
    """Share of edges inside a class."""
    return float((y[edges[0]] == y[edges[1]]).double().mean())


def test_weighted_cosine_by_hand():
    x = torch.tensor([[3.0, 4.0], [4.0, 3.0], [0.0, 0.0]])
    weights = torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    # first head: 24 / 25; second head sees the second column only: 1; mean .98; no features: 0, also with itself
    expected = torch.tensor([[1.0, 0.98, 0.0], [0.98, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(weighted_cosine(x, weights), expected, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 4))
def test_weighted_cosine_is_a_mean_of_cosines(seed, n, heads):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    weights = torch.randn(heads, 5, generator=generator, dtype=torch.float64)
    oracle = torch.stack(
        [torch.nn.functional.cosine_similarity((x * w)[:, None], (x * w)[None], dim=2) for w in weights]
    )
    assert torch.allclose(weighted_cosine(x, weights), oracle.mean(0), atol=1e-9)
    assert torch.allclose(weighted_cosine(x, weights), weighted_cosine(x, -weights), atol=1e-12)


def test_penalty_agrees_with_loops():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 4, generator=generator)
    similarity = sparsified(weighted_cosine(x, torch.ones(1, 4)), 0.2)
    smooth = sum(
        float(similarity[i, j]) * float((x[i] - x[j]).square().sum()) / 2 for i in range(6) for j in range(6)
    )  # tr(X' (D - S) X) = sum_ij S_ij |x_i - x_j|^2 / 2
    logs = np.mean([np.log(float(similarity[i].sum())) for i in range(6)])
    expected = 0.4 * smooth / 36 - 0.1 * logs
    assert float(_Penalty(x, 0.4, 0.1)(similarity)) == pytest.approx(expected, rel=1e-4)


def test_sparsified_keeps_what_is_at_the_floor():
    values = torch.tensor([0.64, 0.65, 0.9, -1.0])
    assert torch.equal(sparsified(values, 0.65), torch.tensor([0.0, 0.65, 0.9, 0.0]))


def test_edges_by_threshold_and_by_number():
    similarity = torch.tensor([[1.0, 0.9, 0.2], [0.9, 1.0, 0.5], [0.2, 0.5, 1.0]])
    graph = LearnedGraph(similarity, ())
    assert graph.above(0.9).shape == (2, 0)  # strictly above
    assert graph.above(0.4).tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert graph.strongest(1).tolist() == [[0, 1], [1, 0]]
    assert graph.strongest(3).shape == (2, 6)
    assert graph.strongest(0).shape == (2, 0)


@pytest.mark.parametrize(
    "how",
    [
        {"floor": 0.0, "keep": 0.0, "smoothness": 0.0, "lr": 0.05, "epochs": 400},
        {"iterations": 2, "epochs": 100},
    ],
    ids=["first pass alone", "published weights, iterated"],
)
def test_classes_help_and_wrong_classes_do_not(how):
    gained, null = [], []
    for seed in range(4):
        x, y = informative(seed)
        wrong = y[torch.randperm(N, generator=torch.Generator().manual_seed(seed))]
        plain = LearnedGraph(weighted_cosine(x, torch.ones(1, x.shape[1])), ()).strongest(90)
        base = same_class(plain, y)
        gained.append(same_class(learn_graph(x, y, **how, seed=seed).strongest(90), y) - base)
        null.append(same_class(learn_graph(x, wrong, **how, seed=seed).strongest(90), y) - base)
    assert min(gained) > 0
    assert max(null) < min(gained)  # control: with permuted classes there is less to gain


def test_similarity_is_symmetric_and_bounded_and_the_loss_falls():
    x, y = informative(1)
    graph = learn_graph(x, y, epochs=60, seed=0)
    assert torch.allclose(graph.similarity, graph.similarity.T, atol=1e-6)
    assert float(graph.similarity.abs().max()) <= 1.0
    assert len(graph.losses) == 60
    assert np.mean(graph.losses[-10:]) < np.mean(graph.losses[:10])


def test_same_seed_same_graph_and_nothing_else_changes():
    x, y = informative(2)
    before, copies = torch.get_rng_state(), (x.clone(), y.clone())
    first, second = (learn_graph(x, y, epochs=5, seed=3).similarity for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, learn_graph(x, y, epochs=5, seed=4).similarity)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(x, copies[0])
    assert torch.equal(y, copies[1])


def test_sparse_features_give_the_same():
    graph = load_graph("citations_like", n=300, seed=0)
    dense, sparse = (
        learn_graph(data.x, data.y, epochs=5, seed=0).similarity
        for data in (graph.to_data(sparse=False), graph.to_data(sparse=True))
    )
    assert torch.allclose(dense, sparse, atol=1e-5)


def test_below_the_floor_nothing_is_learned():
    x, y = torch.eye(N), torch.arange(N) % CLASSES  # nobody has anything in common with anybody
    assert torch.allclose(learn_graph(x, y, epochs=20, seed=0).similarity, torch.eye(N), atol=1e-6)


def test_few_nodes_and_nodes_without_features():
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    graph = learn_graph(x, torch.tensor([0, 0, 1]), epochs=5, iterations=1, seed=0)
    assert torch.isfinite(graph.similarity).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"y": torch.zeros(N, dtype=torch.int64)}, ValueError, "one class only"),
        ({"y": torch.zeros(3, dtype=torch.int64)}, ValueError, "one integer class for each"),
        ({"y": None}, TypeError, "y must be a tensor"),
        ({"x": torch.full((N, 2), torch.nan)}, ValueError, "NaN"),
        ({"x": torch.zeros(6_001, 1)}, ValueError, "all pairs of at most 6000"),
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"heads": 0}, ValueError, "heads must be at least 1"),
        ({"floor": 1.5}, ValueError, "floor must lie in"),
        ({"keep": -0.1}, ValueError, "keep must lie in"),
        ({"update": 2.0}, ValueError, "update must lie in"),
        ({"smoothness": -1.0}, ValueError, "smoothness must lie in"),
        ({"connectivity": torch.nan}, ValueError, "connectivity must lie in"),
        ({"iterations": 0.5}, TypeError, "iterations must be a whole number"),
        ({"lr": 0.0}, ValueError, "lr must lie in"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    ],
)
def test_bad_input_is_refused(change, error, words):
    x, y = informative(0)
    given_ = {"x": x, "y": y, "epochs": 1, "seed": 0, **change}
    with pytest.raises(error, match=words):
        learn_graph(given_.pop("x"), given_.pop("y"), **given_)


def test_bad_edges_wanted():
    graph = LearnedGraph(torch.eye(3), ())
    with pytest.raises(ValueError, match="count must be at most 3"):
        graph.strongest(4)
    with pytest.raises(ValueError, match="threshold must lie in"):
        graph.above(2.0)
