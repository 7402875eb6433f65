"""Samples for the claims: hand-made frames with known answers, and one tiny run from end to end."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch

from trustlib.claims import load_claims
from trustlib.gnn_stealing import evidence, spco_edge_weight
from trustlib.gnn_stealing.edges import undirected
from trustlib.gnn_stealing.evidence import log_budget_ratio
from trustlib.gnn_stealing.evidence_edges import VERSIONS


@pytest.fixture(scope="module")
def lab():
    protocol = evidence.Protocol(
        ("citations_like",), ("gin", "sage"), n_seeds=2, n_focus=2, n_generated=400, target_epochs=10, epochs=4,
        baseline_epochs=5, hidden=8, target_hidden=8, perplexity=3.0,
    )  # fmt: skip
    return evidence.Laboratory(protocol)


@pytest.fixture(scope="module")
def frame(lab):
    return evidence.grid(lab)


def table(**fidelity):
    """One world per entry of the lists: two seeds of one setting."""
    rows = [
        {"graph": "g", "architecture": "gin", "seed": seed, "attack": name, "fidelity": value, "accuracy": value,
         "target_accuracy": 0.9}
        for name, values in fidelity.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_differences_are_paired_by_world():
    rows = table(contrastive=[0.8, 0.6], rmse=[0.7, 0.4], shuffled=[0.2, 0.1], labels=[0.5, 0.7])
    found = evidence.fidelity_gain(rows.sample(frac=1, random_state=0))
    assert sorted(found.parts["pooled"].round(9)) == [0.1, 0.2]  # .8 - .7 and .6 - .4
    assert found.parts["every_setting"] == pytest.approx([0.15])
    assert sorted(found.controls["shuffled"].round(9)) == [-0.5, -0.3]
    worth = evidence.worth_querying(rows)
    assert sorted(worth.parts["pooled"].round(9)) == [-0.1, 0.3]
    assert worth.parts["every_graph"] == pytest.approx([0.1])
    above = evidence.accuracy_gain(rows).parts["not_above_target"]
    assert sorted(above.round(9)) == [-0.3, -0.1]  # .6 - .9 and .8 - .9


def test_summary_is_the_t_interval_over_seeds():
    rows = table(contrastive=[0.8, 0.6])
    found = evidence.summarise(rows, ["attack"]).iloc[0]
    half = 12.706204736 * math.sqrt(0.02) / math.sqrt(2)  # t quantile for one degree of freedom
    assert (found["centre"], found["low"], found["high"]) == pytest.approx((0.7, 0.7 - half, 0.7 + half))
    with pytest.raises(ValueError, match="no column 'colour'"):
        evidence.summarise(rows, ["colour"])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0.1, 0.2, 0.4], [0.1, 0.2, 0.4], 0.0),
        ([0.1, 0.2, 0.3], [0.3, 0.3, 0.3], math.log(4)),  # four times the budget for .3
        ([0.3, 0.3, 0.3], [0.1, 0.2, 0.3], -math.log(4)),
        ([0.0, 0.2, 0.4], [0.0, 0.4, 0.4], math.log(2)),
        ([0.0, 0.1, 0.3], [0.1, 0.3, 0.5], math.log(2)),  # .3 at budget 4 and at budget 2
        ([0.0, 0.0, 0.4], [0.2, 0.2, 0.2], math.log(2) * 1.5),  # .2 half way from 2 to 4; at 1
    ],
)
def test_budget_ratio_by_hand(first, second, expected):
    budgets = np.array([1.0, 2.0, 4.0])
    assert log_budget_ratio(budgets, np.array(first), np.array(second)) == pytest.approx(expected)


def test_budget_ratio_changes_sign_with_the_roles():
    rng = np.random.default_rng(0)
    budgets = np.array([0.05, 0.1, 0.2, 0.5, 1.0])
    for _ in range(20):
        a, b = rng.random(5), rng.random(5)
        assert log_budget_ratio(budgets, a, b) == pytest.approx(-log_budget_ratio(budgets, b, a))


def test_noise_samples_by_hand():
    rows = pd.DataFrame(
        [
            {"seed": 0, "sigma": sigma, "control": control, "fidelity": value}
            for control, values in ((False, [0.9, 0.8, 0.7, 0.6, 0.5]), (True, [0.9] * 5))
            for sigma, value in zip((0.0, 0.5, 1.0, 2.0, 4.0), values, strict=True)
        ]
    )
    found = evidence.noise_works(rows)
    assert found.parts["fall"] == pytest.approx([0.4])
    assert found.parts["trend"] == pytest.approx([-1.0])
    assert found.controls["other_trainings"] == pytest.approx([0.0])
    assert found.controls["other_trainings_trend"] == pytest.approx([0.0])


def test_grid_has_every_attack_in_every_world(frame):
    assert len(frame) == 2 * 2 * 12  # architectures, seeds, ten attacks and two heads
    assert frame.groupby(["architecture", "seed"])["attack"].nunique().eq(12).all()
    shares = frame[["accuracy", "fidelity", "target_accuracy", "chance"]].to_numpy()
    assert ((shares >= 0) & (shares <= 1)).all()
    queried = frame.set_index("attack")["queried"]
    assert (queried["labels"] == 0).all()
    assert (queried["contrastive"] == 12).all()  # a tenth of 120 query nodes
    assert (queried["contrastive_own_head"] == 24).all()  # asked for embeddings, then for classes


def test_the_same_seed_gives_the_same_numbers(lab, frame):
    again = evidence.grid(evidence.Laboratory(lab.protocol), attacks=("contrastive", "labels"))
    for name in ("contrastive", "labels"):
        first, second = (f[f["attack"] == name]["fidelity"].to_numpy() for f in (frame, again))
        assert (first == second).all()


def test_labels_do_not_reach_the_encoder(lab):
    found = evidence.encoder_labels(lab, "citations_like")
    assert (found.parts["weight_change"] == 0).all()
    assert (found.controls["labels_only"] > 0).all()


def test_every_study_gives_samples_for_its_claim(lab):
    graph = "citations_like"
    curve = evidence.budget_curve(
        lab, graph, "gin", (0.2, 0.5, 1.0), attacks=("contrastive", "rmse", "shuffled")
    )
    assert len(evidence.fewer_queries(curve).parts["log_budget_ratio"]) == 2
    leak = evidence.leakage(evidence.response_study(lab, "sage"), graph)
    fits(6, leak, 2)
    mixed = evidence.mismatch_study(lab, graph, budget=0.3)
    assert len(mixed) == 2 * (4 + 2)  # seeds; four pairs, two of them also shuffled
    assert evidence.matrix_of(mixed).shape == (2, 2)
    assert len(evidence.transfer(mixed).parts["mismatch"]) == 2
    edges = evidence.structure_study(lab, graph, "sage", budget=0.5)
    found = evidence.structure(edges)
    fits(8, found, 2)
    assert (edges[edges["edges"] == "true"][["precision", "recall"]] == 1).all(axis=None)
    assert len(evidence.noise_works(evidence.noise_study(lab, graph, "sage")).parts["fall"]) == 2
    assert evidence.dial_of(evidence.defence_study(lab, graph, "sage"))["defence"].iloc[0] == "none"
    part = evidence.selectivity(lab, graph)
    assert set(part.parts) == {"high_over_low", "selectivity"}
    assert (part.parts["high_over_low"] > 0).all()


def fits(number, found, seeds):
    """Parts and controls are those of the claim, one finite value per seed."""
    claim = load_claims()[f"gnn_stealing-{number}"]
    assert set(found.parts) == {part.name for part in claim.parts}
    assert set(found.controls) == {control.name for control in claim.controls}
    for values in (*found.parts.values(), *found.controls.values()):
        assert len(values) == seeds
        assert np.isfinite(values).all()


def test_leakage_by_hand():
    names = ("embedding", "posterior", "posterior_again", "posterior_once_more", "projection",
             "shuffled_projection", "gaussian_embedding", "gaussian_projection")  # fmt: skip
    values = {"a": [0.9, 0.7, 0.72, 0.69, 0.4, 0.3, 0.5, 0.3], "b": [0.7, 0.7, 0.7, 0.7, 0.6, 0.2, 0.5, 0.2]}
    rows = [
        {"graph": graph, "seed": 0, "response": name, "fidelity": value}
        for graph, some in values.items()
        for name, value in zip(names, some, strict=True)
    ]
    found = evidence.leakage(pd.DataFrame(rows), "a")
    assert found.parts["embedding_over_prediction"] == pytest.approx([0.1])  # mean of .2 and 0
    assert found.parts["prediction_over_projection"] == pytest.approx([0.2])  # of .3 and .1
    assert found.parts["embedding_over_projection"] == pytest.approx([0.5])  # on graph a alone
    assert found.controls["predictions_twice"] == pytest.approx([0.01])


def test_a_thief_does_not_start_from_the_weights_of_the_target(lab):
    for architecture in lab.protocol.architectures:
        world = lab.world("citations_like", architecture, 0)
        idle = dataclasses.replace(lab.protocol, target_epochs=1, epochs=1)
        start = evidence.Laboratory(idle)._untrained(architecture, world.split, world.seed)
        thief = evidence.steal(world, evidence.ATTACKS["untrained"], idle).encoder
        drawn = [p for p in thief.parameters() if p.ndim == 2]
        for mine in drawn:
            same = [p for p in start.parameters() if p.shape == mine.shape]
            assert not any(torch.equal(mine, p) for p in same)


@pytest.mark.parametrize("version", ["rebuilt", "learned"])
def test_edges_of_an_attacker_who_knows_none_do_not_depend_on_the_true_ones(lab, version):
    query = lab.world("citations_like", "sage", 0).cut(1.0)
    other = query.clone()
    shift = torch.randperm(len(query.y), generator=torch.Generator().manual_seed(0))
    other.edge_index = shift[query.edge_index]  # as many edges, elsewhere
    first, second = (VERSIONS[version](q, 0).edge_index for q in (query, other))
    assert torch.equal(first, second)
    assert first.shape[1] == undirected(query.edge_index, len(query.y)).shape[1]  # as many as there are
    assert torch.equal(query.edge_index, lab.world("citations_like", "sage", 0).cut(1.0).edge_index)


def test_share_of_pairs_that_are_alike(lab):
    query = lab.world("citations_like", "sage", 0).cut(1.0).clone()
    query.x = torch.zeros(len(query.y), 2)
    query.x[:3] = torch.tensor([[1.0, 0.0], [2.0, 0.0], [1.0, 1.0]])  # cosines 1, .707 and .707, all others 0
    pairs = len(query.y) * (len(query.y) - 1) / 2
    assert evidence.share_alike(query, 0.65) == pytest.approx(3 / pairs)
    assert evidence.share_alike(query, 0.8) == pytest.approx(1 / pairs)


def test_dense_form_on_a_path_is_symmetric_about_its_middle():
    # three nodes in a row: the ends are alike, loops get heavier and edges lighter, nothing appears off the edges
    path = torch.tensor([[0, 1], [1, 2]])
    weight = evidence.dense_spco(path, 3)
    assert weight[0, 1] == pytest.approx(float(weight[2, 1]))
    assert weight[0, 0] == pytest.approx(float(weight[2, 2]))
    assert float(weight[0, 0]) > 1 > float(weight[0, 1])
    assert weight[0, 2] == 0
    assert torch.allclose(weight, evidence.dense_spco(path, 3, products=True), atol=1e-14)


def test_forms_agree_and_one_scaling_less_does_not():
    edges = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 4, 5]])
    same = evidence.form_differences([(edges, 7)], sinkhorn_iters=3)
    less = evidence.form_differences([(edges, 7)], sinkhorn_iters=1)
    assert same[0] < 1e-12 < 1e-6 < less[0]


def test_a_dense_form_that_overflows_is_no_comparison():
    nodes = torch.arange(1, 200)
    star = torch.stack([torch.zeros_like(nodes), nodes])
    path = torch.stack([nodes[:-1], nodes[1:]])
    edges = torch.cat([star, path], dim=1)
    assert bool(spco_edge_weight(edges, 200)[1].isfinite().all())
    many = torch.cat([edges + 200 * k for k in range(4)], dim=1)
    with pytest.raises(ValueError, match="not finite on a graph of 800 nodes"):
        evidence.form_differences([(many, 800)], sinkhorn_iters=3)


def test_protocols_that_make_no_sense():
    with pytest.raises(ValueError, match="must not be empty"):
        evidence.Protocol(())
    with pytest.raises(ValueError, match="at least 2, got 1 and 3"):
        evidence.Protocol(("citations_like",), n_seeds=1)
    with pytest.raises(ValueError, match="budget must lie"):
        evidence.Protocol(("citations_like",), budget=0.0)
