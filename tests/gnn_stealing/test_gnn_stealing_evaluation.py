"""Fidelity by the value of the class, its intervals, paired tests, and the head."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from trustlib.gnn_stealing import compare_attacks, connected_components, evaluate_stealing, fit_head
from trustlib.gnn_stealing.resampling import bootstrap_means


def graph_of(y, edges=((), ())):
    y = torch.as_tensor(y)
    return SimpleNamespace(x=torch.zeros(len(y), 1), edge_index=torch.tensor(edges, dtype=torch.long), y=y)


def test_fidelity_compares_classes_not_columns():
    # the query set lacks class 1: the head has columns for 0, 2, 3; its answer "2" sits in column 1
    emb = torch.tensor([[0.0], [0.1], [5.0], [5.1], [10.0], [10.1]])
    head = fit_head(emb, torch.tensor([0, 0, 2, 2, 3, 3]), "logistic", seed=0)
    assert head.classes.tolist() == [0, 2, 3]
    test, target = torch.tensor([[0.05], [5.05], [10.05]]), torch.tensor([0, 2, 3])
    report = evaluate_stealing(head.predict(test), target, graph_of([0, 2, 3]))
    assert report.fidelity == 1.0
    columns = head.predict_proba(test).argmax(1)
    assert evaluate_stealing(columns, target, graph_of([0, 2, 3])).fidelity == pytest.approx(1 / 3)


def test_report_by_hand():
    # truth 0 0 0 1 1 2, target 0 0 1 1 1 0, copy 0 1 1 1 2 0
    # accuracy: nodes 0, 3 -> 2/6; target right on 0, 1, 3, 4 -> 4/6; agreement on 0, 2, 3, 5 -> 4/6
    # on the four right ones: 0 and 3 -> 1/2; on the two errors (2, 5): both -> 1
    # chance: copy has 2, 3, 1 of each class, target 3, 3, 0: (6 + 9 + 0) / 36 = 15/36; kappa = (24 - 15) / (36 - 15)
    report = evaluate_stealing(
        torch.tensor([0, 1, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 1, 1, 0]), graph_of([0, 0, 0, 1, 1, 2])
    )
    assert report.accuracy == pytest.approx(1 / 3)
    assert report.target_accuracy == report.fidelity == pytest.approx(2 / 3)
    assert (report.fidelity_on_correct, report.fidelity_on_errors) == (0.5, 1.0)
    assert report.chance_agreement == pytest.approx(15 / 36)
    assert report.kappa == pytest.approx(3 / 7)
    assert (report.clusters, report.largest_cluster) == (6, pytest.approx(1 / 6))


@given(n=st.integers(2, 40), classes=st.integers(2, 5), seed=st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_kappa_is_scikit_learns_and_shares_are_consistent(n, classes, seed):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([[0, 1], rng.integers(classes, size=n - 2)])
    copy, target = (rng.integers(classes, size=n) for _ in range(2))
    report = evaluate_stealing(torch.tensor(copy), torch.tensor(target), graph_of(truth), n_boot=50)
    with np.errstate(invalid="ignore"):
        expected = cohen_kappa_score(copy, target) if len({*copy, *target}) > 1 else math.nan
    assert report.kappa == pytest.approx(expected, nan_ok=True)
    right = (target == truth).mean()
    parts = [
        share * value
        for share, value in (
            (right, report.fidelity_on_correct),
            (1 - right, report.fidelity_on_errors),
        )
        if share > 0
    ]
    assert sum(parts) == pytest.approx(report.fidelity)
    assert 0 <= report.ci[0] <= report.ci[1] <= 1


def test_a_perfect_target_and_constant_models_have_no_value_where_none_exists():
    y = torch.tensor([0, 1, 0])
    assert math.isnan(evaluate_stealing(y, y, graph_of(y)).fidelity_on_errors)
    zeros = torch.zeros(3, dtype=torch.long)
    report = evaluate_stealing(zeros, zeros, graph_of(y))
    assert (report.fidelity, report.chance_agreement) == (1.0, 1.0)
    assert math.isnan(report.kappa)


def test_models_functions_and_classes_are_taken_alike(graph):
    class First(torch.nn.Module):
        def forward(self, x, edge_index):
            return x[:, :3]

    classes = graph.x[:, :3].argmax(1)
    reports = [
        evaluate_stealing(way, First(), graph, n_boot=20) for way in (classes, First(), lambda data: classes)
    ]
    assert reports[0] == reports[1] == reports[2]
    assert reports[0].fidelity == 1.0


def test_components_are_followed_and_make_intervals_wider():
    edges = ((0, 1, 2, 5), (1, 2, 0, 6))
    assert connected_components(torch.tensor(edges), 7).tolist() == [0, 0, 0, 1, 2, 3, 3]
    # 30 parts of 10 nodes each that succeed or fail together
    n = 300
    chain = torch.arange(n)[torch.arange(n) % 10 != 9]
    success = (torch.arange(n) // 10) % 2
    data = graph_of(torch.arange(n) % 2, torch.stack([chain, chain + 1]).tolist())
    target = torch.ones(n, dtype=torch.long)
    by_part, by_node = (
        evaluate_stealing(success, target, data, interval=kind) for kind in ("components", "nodes")
    )
    assert (by_part.clusters, by_node.clusters) == (30, n)
    ratio = (by_part.ci[1] - by_part.ci[0]) / (by_node.ci[1] - by_node.ci[0])
    assert 2.5 < ratio < 4  # sqrt(10) = 3.16; both widths carry some 5 % of simulation error


def test_bootstrap_has_the_spread_of_a_mean_and_pairs_its_rows():
    values = np.random.default_rng(0).random((2, 400))
    draws = bootstrap_means(values, np.arange(400), n_boot=4000, seed=0)
    expected = values.std(axis=1) / 20
    np.testing.assert_allclose(draws.std(axis=0), expected, rtol=0.06)  # 1 / sqrt(8000) = 1.1 %, five of them
    same = bootstrap_means(np.stack([values[0], values[0]]), np.arange(400), n_boot=10, seed=0)
    np.testing.assert_array_equal(same[:, 0], same[:, 1])


def test_interval_covers_as_often_as_it_says():
    rng, covered, runs = np.random.default_rng(1), 0, 200
    truth = graph_of(np.arange(150) % 2)
    target = torch.ones(150, dtype=torch.long)
    for run in range(runs):
        copy = torch.tensor((rng.random(150) < 0.7).astype(np.int64))
        low, high = evaluate_stealing(copy, target, truth, interval="nodes", n_boot=300, seed=run).ci
        covered += low <= 0.7 <= high
    # 95 % minus what percentile intervals lose at n = 150 (about 1 %), minus 3.5 standard errors of 1.6 %
    assert covered / runs > 0.88


def test_comparison_by_hand_and_its_mirror():
    # of 8 nodes the first gets 0-5, the second 4-6: b = 4, c = 1; p = 2 (C(5,0) + C(5,1)) / 32 = 12/32
    reference = torch.ones(8, dtype=torch.long)
    first, second = torch.tensor([1, 1, 1, 1, 1, 1, 0, 0]), torch.tensor([0, 0, 0, 0, 1, 1, 1, 0])
    found, mirror = compare_attacks(first, second, reference), compare_attacks(second, first, reference)
    assert (found.only_first, found.only_second) == (4, 1)
    assert found.p_value == mirror.p_value == pytest.approx(12 / 32)
    assert found.difference == -mirror.difference == 0.375
    assert found.ci == pytest.approx((-mirror.ci[1], -mirror.ci[0]))
    same = compare_attacks(first, first, reference)
    assert (same.p_value, same.ci) == (1.0, (0.0, 0.0))


def test_comparison_stays_in_its_null_range():
    rng, rejected, runs = np.random.default_rng(2), 0, 200
    reference = torch.ones(200, dtype=torch.long)
    for _ in range(runs):
        first, second = torch.tensor((rng.random((2, 200)) < 0.6).astype(np.int64))
        rejected += compare_attacks(first, second, reference, n_boot=1).p_value < 0.05
    assert rejected / runs < 0.05 + 3.5 * (0.05 * 0.95 / runs) ** 0.5  # exact tests are conservative


def test_evaluation_names_what_is_wrong(graph):
    y = graph.y
    with pytest.raises(ValueError, match="predict must give one whole number for each of the 12"):
        evaluate_stealing(y[:5], y, graph)
    with pytest.raises(ValueError, match="target_predict must give one whole number"):
        evaluate_stealing(y, y.float(), graph)
    with pytest.raises(ValueError, match="confidence must lie in"):
        evaluate_stealing(y, y, graph, confidence=1.0)
    with pytest.raises(ValueError, match="interval must be one of"):
        evaluate_stealing(y, y, graph, interval="edges")
    with pytest.raises(ValueError, match="n_boot must be at least 1"):
        evaluate_stealing(y, y, graph, n_boot=0)
    with pytest.raises(ValueError, match="one class only"):
        evaluate_stealing(y, y, graph_of(torch.zeros(12, dtype=torch.long)))
    with pytest.raises(ValueError, match="got 12, 11 and 12"):
        compare_attacks(y, y[1:], y)


def test_head_uses_a_share_of_every_class():
    emb, labels = torch.randn(40, 2, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3
    labels[0] = 9
    head = fit_head(emb, labels, train_share=0.1, seed=0)
    assert head.classes.tolist() == [0, 1, 2, 9]
    proba = head.predict_proba(emb)
    assert proba.shape == (40, 4)
    torch.testing.assert_close(proba.sum(1).double(), torch.ones(40, dtype=torch.float64))
    again = fit_head(emb, labels, train_share=0.1, seed=0)
    assert torch.equal(again.predict_proba(emb), proba)


@pytest.mark.parametrize("kind", ["mlp", "logistic"])
def test_head_separates_what_is_separable(kind):
    centres = torch.tensor([[0.0, 4.0], [4.0, 0.0], [-4.0, -4.0]])
    labels = torch.arange(90) % 3
    emb = centres[labels] + 0.3 * torch.randn(90, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fit_head(emb, labels, kind, seed=0).predict(emb), labels)


def test_head_names_what_is_wrong():
    emb, labels = torch.ones(4, 2), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match="nothing to tell apart"):
        fit_head(emb, torch.zeros(4, dtype=torch.long), seed=0)
    with pytest.raises(ValueError, match="one whole number per vector"):
        fit_head(emb, labels[:3], seed=0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit_head(emb / 0, labels, seed=0)
    with pytest.raises(ValueError, match="train_share must lie in"):
        fit_head(emb, labels, train_share=0.0, seed=0)
    with pytest.raises(ValueError, match="kind must be one of"):
        fit_head(emb, labels, "svm", seed=0)
    with pytest.raises(ValueError, match="shape \\(n, 2\\)"):
        fit_head(emb * torch.tensor([[1.0], [2.0], [3.0], [4.0]]), labels, "logistic", seed=0).predict(
            emb[:, :1]
        )
