"""Attacks: what they learn, what they never look at, what they leave alone, and what they refuse."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from trustlib.gnn_stealing import (
    ContrastiveStealer,
    DistillationStealer,
    EdgeDrop,
    GraphQueryAPI,
    RmseStealer,
    SpectralFlipping,
    SpectralReweighting,
    Surrogate,
    edge_quality,
    evaluate_stealing,
    extract,
    inductive_split,
    knn_graph_from_features,
    query_budget_curve,
    select_queries,
    train_target,
    without_queries,
)
from trustlib.gnn_stealing.messages import csr_matrix


def surrogate(graph, width, *, kind="gin", hidden=16, seed=0):
    return Surrogate(kind, in_features=graph.x.shape[1], out_features=width, hidden=hidden, seed=seed)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def weights(stealer):
    return torch.cat([p.detach().flatten() for p in stealer.surrogate.parameters()])


@pytest.fixture(scope="module")
def setting(citations):
    """A target on the generated graph, and its split."""
    split = inductive_split(citations, seed=0)
    return train_target("sage", split.target, epochs=60, lr=0.01, hidden=32, seed=0), split


STEALERS = {
    "rmse": lambda s: RmseStealer(s, epochs=4),
    "rmse_standardised": lambda s: RmseStealer(s, epochs=4, standardize=True),
    "distillation": lambda s: DistillationStealer(s, epochs=4),
    "contrastive": lambda s: ContrastiveStealer(s, epochs=4, augment=SpectralReweighting(refresh=2)),
    "drop": lambda s: ContrastiveStealer(s, epochs=4, augment=EdgeDrop()),
    "span": lambda s: ContrastiveStealer(s, epochs=4, augment=SpectralFlipping(steps=5)),
    "uniform_mask": lambda s: ContrastiveStealer(s, epochs=4, keep_prob="uniform"),
    "plain": lambda s: ContrastiveStealer(s, epochs=4, keep_prob=1.0, chunk=5),
}


@pytest.mark.parametrize("name", STEALERS)
@pytest.mark.parametrize("kind", ["gin", "sage", "gat"])
def test_every_attack_runs_repeats_and_leaves_no_trace(graph, name, kind):
    responses = torch.rand(12, 3, generator=generator()).softmax(1)
    before = graph.x.clone(), graph.edge_index.clone(), responses.clone(), torch.get_rng_state()
    runs = [
        STEALERS[name](surrogate(graph, 3, kind=kind)).fit(graph, responses, generator=generator(seed))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(weights(runs[0]), weights(runs[2]))
    assert len(runs[0].history) == 4
    assert all(math.isfinite(loss) for loss in runs[0].history)
    assert not runs[0].surrogate.training
    out = runs[0].embed(graph)
    assert out.shape == (12, 3)
    assert not out.requires_grad
    for old, new in zip(before, (graph.x, graph.edge_index, responses, torch.get_rng_state()), strict=True):
        assert torch.equal(old, new)


def test_regression_reaches_answers_that_its_network_can_give(graph):
    teacher = surrogate(graph, 2, seed=5)
    answers = teacher.eval()(graph.x, graph.edge_index).detach()
    student = Surrogate("gin", in_features=5, out_features=2, hidden=64, dropout=0.0, seed=1)
    stealer = RmseStealer(student, epochs=400, lr=0.01).fit(graph, answers, generator=generator())
    assert stealer.history[-1] < 0.05 * stealer.history[0]
    torch.testing.assert_close(stealer.embed(graph), answers, atol=0.3, rtol=0)


def test_standardised_regression_does_not_depend_on_scale_and_shift(graph):
    responses = torch.randn(12, 3, generator=generator())
    fits = [
        RmseStealer(surrogate(graph, 3), epochs=5, standardize=True).fit(graph, r, generator=generator())
        for r in (responses, 8 * responses + 16)
    ]
    torch.testing.assert_close(8 * fits[0].embed(graph) + 16, fits[1].embed(graph), rtol=1e-4, atol=1e-3)


def test_standardised_regression_takes_constant_columns(graph):
    responses = torch.cat([torch.randn(12, 1, generator=generator()), torch.zeros(12, 1)], dim=1)
    stealer = RmseStealer(surrogate(graph, 2), epochs=3, standardize=True).fit(graph, responses)
    assert bool(stealer.embed(graph).isfinite().all())
    torch.testing.assert_close(stealer.embed(graph)[:, 1], torch.zeros(12), atol=1e-4, rtol=0)


def test_no_label_enters_before_the_head(graph):
    responses = torch.randn(12, 3, generator=generator())
    other = SimpleNamespace(x=graph.x, edge_index=graph.edge_index, y=graph.y.flip(0))
    fits = [
        ContrastiveStealer(surrogate(graph, 3), epochs=3, augment=SpectralReweighting()).fit(
            data, responses, generator=generator()
        )
        for data in (graph, other)
    ]
    assert torch.equal(weights(fits[0]), weights(fits[1]))


def test_sparse_features_are_dense_features(graph):
    x = graph.x * (graph.x > 0.3)
    row, col = x.nonzero().T
    pointer = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(row, minlength=12).cumsum(0)])
    sparse = csr_matrix(pointer, col, x[row, col], (12, 5))
    responses = torch.randn(12, 3, generator=generator())
    fits = [
        ContrastiveStealer(surrogate(graph, 3), epochs=4, augment=EdgeDrop()).fit(
            SimpleNamespace(x=value, edge_index=graph.edge_index), responses, generator=generator()
        )
        for value in (x, sparse)
    ]
    torch.testing.assert_close(weights(fits[0]), weights(fits[1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["rmse", "contrastive"])
def test_one_batch_with_all_neighbours_is_the_whole_graph(graph, name):
    # a batch larger than the graph takes the same path; a batch of all nodes but one leaves a rest
    responses = torch.randn(12, 3, generator=generator())
    make = {
        "rmse": lambda size: RmseStealer(surrogate(graph, 3), epochs=3, batch_size=size, fanouts=(-1, -1)),
        "contrastive": lambda size: ContrastiveStealer(
            surrogate(graph, 3), epochs=3, batch_size=size, fanouts=(-1, -1), augment=SpectralReweighting()
        ),
    }[name]
    whole, same, parts = (make(size).fit(graph, responses, generator=generator()) for size in (None, 12, 11))
    assert torch.equal(weights(whole), weights(same))
    assert all(math.isfinite(loss) for loss in parts.history)
    assert not torch.equal(weights(whole), weights(parts))


def test_batches_cover_every_node(graph):
    seen = []

    class Counting(RmseStealer):
        def _loss(self, output, goal):
            seen.extend(goal[:, 0].tolist())
            return super()._loss(output, goal)

    responses = torch.arange(12.0)[:, None].repeat(1, 2)
    Counting(surrogate(graph, 2), epochs=1, batch_size=5, fanouts=(2, 2)).fit(graph, responses)
    assert sorted(seen) == list(range(12))


@pytest.mark.parametrize("name", STEALERS)
def test_graphs_without_edges_and_with_zero_features_work(name):
    lone = SimpleNamespace(x=torch.zeros(6, 4), edge_index=torch.empty(2, 0, dtype=torch.long))
    stealer = STEALERS[name](surrogate(lone, 3)).fit(lone, torch.eye(6, 3))
    assert bool(stealer.embed(lone).isfinite().all())


def test_a_foreign_network_is_trained_too(graph):
    from torch_geometric.nn import GCN

    model = GCN(in_channels=5, hidden_channels=8, num_layers=2, out_channels=3)
    stealer = RmseStealer(model, epochs=30, lr=0.02).fit(graph, torch.zeros(12, 3))
    assert stealer.history[-1] < stealer.history[0]


@pytest.mark.parametrize(
    ("responses", "error", "match"),
    [
        (torch.randn(11, 3), ValueError, "one row for each of the 12 query nodes"),
        (torch.full((12, 3), float("nan")), ValueError, "NaN or infinite values in 12 of 12"),
        (torch.zeros(12, 3, dtype=torch.long), TypeError, "floating tensor"),
        (torch.randn(12), TypeError, "floating tensor"),
        (torch.randn(12, 4), ValueError, "one shape"),
    ],
)
def test_responses_that_do_not_fit_are_named(graph, responses, error, match):
    with pytest.raises(error, match=match):
        RmseStealer(surrogate(graph, 3), epochs=1).fit(graph, responses)


def test_what_else_is_refused(graph):
    one = SimpleNamespace(x=torch.ones(1, 5), edge_index=torch.empty(2, 0, dtype=torch.long))
    with pytest.raises(ValueError, match="needs at least 2"):
        ContrastiveStealer(surrogate(graph, 3), epochs=1).fit(one, torch.ones(1, 3))
    with pytest.raises(ValueError, match="keep_prob must lie in"):
        ContrastiveStealer(surrogate(graph, 3), keep_prob=0.0)
    with pytest.raises(ValueError, match="temperature must lie in"):
        DistillationStealer(surrogate(graph, 3), temperature=0.0)
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        RmseStealer(surrogate(graph, 3), epochs=0)
    with pytest.raises(TypeError, match="torch module"):
        RmseStealer(lambda x, e: x)
    bad = SimpleNamespace(x=torch.full((12, 5), float("inf")), edge_index=graph.edge_index)
    with pytest.raises(ValueError, match="NaN or infinite"):
        RmseStealer(surrogate(graph, 3)).fit(bad, torch.ones(12, 3))
    outside = SimpleNamespace(x=graph.x, edge_index=torch.tensor([[0], [12]]))
    with pytest.raises(ValueError, match="there are 12"):
        RmseStealer(surrogate(graph, 3)).fit(outside, torch.ones(12, 3))


def test_a_divergent_training_says_so(graph):
    with pytest.raises(FloatingPointError, match="training diverged"):
        RmseStealer(surrogate(graph, 3), epochs=50, lr=1e30).fit(graph, torch.ones(12, 3))


def test_attacks_beat_their_control(setting):
    target, split = setting
    query, test = split.query, split.test
    width = GraphQueryAPI(target).query(query).shape[1]

    def fidelity(stealer, response, **options):
        stolen = extract(GraphQueryAPI(target, response), query, stealer, seed=0, **options)
        assert stolen.n_queried == len(query.y)
        return evaluate_stealing(stolen, target, test, interval="nodes", n_boot=1)

    contrastive = ContrastiveStealer(surrogate(query, width), epochs=60, augment=SpectralReweighting())
    stolen = fidelity(contrastive, "embedding", head="true", kind="logistic")
    assert stolen.fidelity > stolen.chance_agreement + 0.15
    classes = int(target(query.x, query.edge_index).shape[1])
    distilled = fidelity(
        DistillationStealer(surrogate(query, classes), epochs=60, lr=0.01), "posterior", head="none"
    )
    assert distilled.fidelity > distilled.chance_agreement + 0.15
    # control: answers about other nodes teach nothing
    answers = GraphQueryAPI(target, "posterior").query(query)
    mixed = answers[torch.randperm(len(answers), generator=generator())]
    shuffled = DistillationStealer(surrogate(query, classes), epochs=60, lr=0.01).fit(query, mixed)
    report = evaluate_stealing(
        lambda g: shuffled.embed(g).argmax(1), target, test, interval="nodes", n_boot=1
    )
    assert report.fidelity < distilled.fidelity - 0.1


def test_the_honest_head_never_reads_true_labels_and_pays_for_its_own(setting):
    target, split = setting
    query = split.query.clone()
    del query.y
    width = GraphQueryAPI(target).query(query).shape[1]
    with pytest.raises(ValueError, match="needs a label_service"):
        extract(GraphQueryAPI(target), query, RmseStealer(surrogate(query, width)), head="answers", seed=0)
    labels = GraphQueryAPI(target, "label")
    stolen = extract(
        GraphQueryAPI(target), query, RmseStealer(surrogate(query, width), epochs=3),
        head="answers", label_service=labels, kind="logistic", seed=0,
    )  # fmt: skip
    assert labels.n_queried == query.x.shape[0]
    assert stolen.n_queried == 2 * query.x.shape[0]
    logits = GraphQueryAPI(target, "logits")
    classes = logits.query(query).shape[1]
    stolen = extract(
        logits,
        query,
        RmseStealer(surrogate(query, classes), epochs=3),
        head="answers",
        kind="logistic",
        seed=0,
    )
    assert stolen.n_queried == query.x.shape[0]
    with pytest.raises((TypeError, ValueError), match=r"query_data\.y"):
        extract(logits, query, RmseStealer(surrogate(query, classes)), head="true", seed=0)
    assert logits.n_queried == 2 * query.x.shape[0]  # refused before a third query


def test_without_queries_learns_from_labels_and_asks_nothing(graph):
    alone = SimpleNamespace(x=torch.eye(12), edge_index=torch.empty(2, 0, dtype=torch.long), y=graph.y)
    network = Surrogate("sage", in_features=12, out_features=3, hidden=16, dropout=0.0, seed=0)
    before = [p.clone() for p in network.parameters()]
    stolen = without_queries(network, alone, epochs=80, lr=0.05, seed=0)
    assert stolen.n_queried == 0
    assert torch.equal(stolen(alone), graph.y)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    one = SimpleNamespace(x=torch.eye(12), edge_index=graph.edge_index, y=torch.zeros(12, dtype=torch.long))
    with pytest.raises(ValueError, match="one class only"):
        without_queries(network, one, epochs=1, seed=0)


def test_budget_curve_counts_pairs_and_columns(setting):
    target, split = setting
    sent = {}

    def thief(query, seed):
        sent.setdefault((len(query.y), seed), []).append(query.node_id)
        classes = 7
        return without_queries(surrogate(query, classes), query, epochs=1, seed=seed)

    frame = query_budget_curve({"a": thief, "b": thief}, target, split, budgets=[0.2, 1.0], seeds=[0, 1])
    assert len(frame) == 8
    n = len(split.query.y)
    assert set(frame["nodes"]) == {n // 5, n}
    assert set(frame["n_queried"]) == {0}
    assert all(torch.equal(*nodes) for nodes in sent.values())  # both attacks see the same graph
    assert set(sent[n // 5, 0][0].tolist()) < set(sent[n, 0][0].tolist())
    assert frame["target_accuracy"].nunique() == 1
    with pytest.raises(ValueError, match="budget must lie in"):
        query_budget_curve({"a": thief}, target, split, budgets=[0.0], seeds=[0])
    with pytest.raises(ValueError, match="must not be empty"):
        query_budget_curve({}, target, split, budgets=[0.5], seeds=[0])


def test_neighbours_are_those_of_a_plain_search():
    x = torch.randn(40, 6, generator=generator())
    for metric in ("cosine", "euclidean"):
        edges = {tuple(pair) for pair in knn_graph_from_features(x, 3, metric=metric).T.tolist()}
        expected = set()
        for i in range(40):
            if metric == "cosine":
                score = torch.cosine_similarity(x[i : i + 1], x)
            else:
                score = -(x - x[i]).norm(dim=1)
            score[i] = -torch.inf
            expected |= {(i, int(j)) for j in score.topk(3).indices}
        assert edges == expected | {(j, i) for i, j in expected}
    with pytest.raises(ValueError, match="k must be less"):
        knn_graph_from_features(x, 40)
    with pytest.raises(ValueError, match="NaN"):
        knn_graph_from_features(torch.full((3, 2), float("nan")), 1)


def test_neighbours_of_sparse_rows_and_ties():
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    pointer, column = torch.tensor([0, 1, 2, 2, 3]), torch.zeros(3, dtype=torch.long)
    sparse = csr_matrix(pointer, column, torch.tensor([1.0, 2.0, 3.0]), (4, 2))
    for metric in ("cosine", "euclidean"):
        dense = knn_graph_from_features(x, 1, metric=metric)
        assert torch.equal(dense, knn_graph_from_features(sparse, 1, metric=metric))
    # rows 0, 1 and 3 point the same way, row 2 nowhere: each takes the first of its equals
    assert knn_graph_from_features(x, 1).T.tolist() == [[0, 1], [0, 2], [0, 3], [1, 0], [2, 0], [3, 0]]


def test_edge_quality_by_hand_and_at_its_ends():
    true = torch.tensor([[0, 1, 2], [1, 2, 3]])
    guess = torch.tensor(
        [[1, 0, 0, 4], [0, 1, 2, 4]]
    )  # 0-1 twice, 0-2, a loop: 1 of 2 is right, 1 of 3 found
    assert edge_quality(guess, true, 5) == {"precision": 0.5, "recall": pytest.approx(1 / 3)}
    none = torch.empty(2, 0, dtype=torch.long)
    assert edge_quality(none, true, 5) == {"precision": 0.0, "recall": 0.0}
    assert edge_quality(true.flip(0), true, 5) == {"precision": 1.0, "recall": 1.0}
    with pytest.raises(ValueError, match="there are 3"):
        edge_quality(true, true, 3)


def test_selection_strategies_by_hand():
    x = torch.tensor([[0.0], [1.0], [10.0], [4.0]])
    graph = SimpleNamespace(x=x, edge_index=torch.tensor([[0, 0, 1], [1, 2, 2]]))
    posterior = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.9, 0.1], [0.7, 0.3]])
    assert select_queries(graph, 4, "uncertainty", posterior=posterior, seed=0).tolist() == [1, 3, 2, 0]
    assert 3 not in select_queries(graph, 3, "degree", seed=0)  # a triangle and a lone node
    first = select_queries(graph, 4, "k_centre", seed=0)
    # wherever it starts, the second centre is an end of the line, and all four are chosen once
    assert int(first[1]) in (0, 2)
    assert sorted(first.tolist()) == [0, 1, 2, 3]
    for strategy in ("random", "degree", "k_centre"):
        long = select_queries(graph, 4, strategy, seed=3)
        assert torch.equal(select_queries(graph, 2, strategy, seed=3), long[:2])


def test_selection_covers_and_refuses(graph):
    spread = graph.x[select_queries(graph, 4, "k_centre", seed=0)]
    random = [graph.x[select_queries(graph, 4, seed=seed)] for seed in range(20)]

    def radius(centres):
        return float(torch.cdist(graph.x, centres).min(1).values.max())

    assert radius(spread) <= sum(map(radius, random)) / len(random)
    same = SimpleNamespace(x=torch.zeros(5, 2), edge_index=torch.empty(2, 0, dtype=torch.long))
    assert sorted(select_queries(same, 5, "k_centre", seed=0).tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="n must be at most"):
        select_queries(graph, 13, seed=0)
    with pytest.raises(ValueError, match="posterior is needed"):
        select_queries(graph, 3, "uncertainty", seed=0)
    with pytest.raises(ValueError, match="one distribution"):
        select_queries(graph, 3, "uncertainty", posterior=torch.ones(12, 3), seed=0)
    with pytest.raises(ValueError, match="strategy must be one of"):
        select_queries(graph, 3, "best", seed=0)
