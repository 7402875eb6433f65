"""Samples of the claims: shapes, names of the registry, and answers on a task that is easy or hopeless by design."""

from dataclasses import replace

import numpy as np
import pytest

from trustlib import claims
from trustlib.dppl import Plan, Task, compare, evidence, unit_rows
from trustlib.dppl.comparison_inputs import GRADES, choose_encoders, choose_pools, further_tasks
from trustlib.dppl.comparison_sources import load_sources
from trustlib.dppl.evidence_combinations import combination_gaps, combinations
from trustlib.dppl.evidence_guarantee import guarantee
from trustlib.dppl.evidence_variants import run_variants
from trustlib.dppl.evidence_views import chosen_images, first_scores, hit_probabilities

SEEDS = 3
K = (1, 3)


def make_task(classes=8, d=12):
    rng = np.random.default_rng(0)

    def draw(m):
        y = np.arange(m) % classes
        return unit_rows(np.eye(d)[y] + 0.25 * rng.standard_normal((m, d))), y

    (X, y), (test, test_y), (pool, pool_y) = draw(400), draw(160), draw(400)
    names = tuple("abcdefgh"[:classes])
    noise = unit_rows(rng.standard_normal((60, d)))
    return Task(X, y, test, test_y, {"held_out": pool, "noise": noise}, pool, pool_y, names, "toy")


TASK = make_task()
PLAN = Plan(rhos=(0.005, 0.05, 0.5, 50), ratios=(1, 10), largest=40, n_seeds=SEEDS, seed=0, n_draws=3)


@pytest.fixture(scope="module")
def compared():
    return compare(TASK, PLAN)


@pytest.fixture(scope="module")
def variants():
    return run_variants(TASK, PLAN, k_grid=K)


def samples(number, compared, variants):
    """Evidence of one claim."""
    makers = {
        1: lambda: evidence.utility(compared, variants),
        2: lambda: evidence.rare_classes(compared, variants),
        3: lambda: evidence.frequent_classes(compared, variants),
        5: lambda: evidence.against_means(compared, variants),
        6: lambda: evidence.few_samples(compared, variants),
        7: lambda: evidence.several_prototypes(compared, variants),
        8: lambda: evidence.windows(compared, variants),
        9: lambda: evidence.pooling(compared, variants),
        10: lambda: evidence.amplification(compared),
        11: lambda: evidence.equal_treatment(compared),
    }
    return makers[number]()


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6, 7, 8, 9, 10, 11])
def test_samples_fit_the_registry(number, compared, variants):
    found, claim = samples(number, compared, variants), claims.load_claims()[f"dppl-{number}"]
    assert set(found.parts) == {part.name for part in claim.parts}
    assert set(found.controls) == {control.name for control in claim.controls}
    for values in (*found.parts.values(), *found.controls.values()):
        assert values.shape == (SEEDS,)
        assert np.isfinite(values).all()


def test_leads_are_differences_of_what_was_compared(compared, variants):
    found = evidence.utility(compared, variants)
    at = {"ratio": 10.0, "rho": 0.5}
    best = np.max(
        [compared.balanced(m, **at) for m in ("naive", "least_squares", "global_adapt", "dp_sgd")], axis=0
    )
    assert found.parts["tight"] == pytest.approx(compared.balanced("public", **at) - best)
    assert evidence.against_means(compared, variants).controls["permuted_means"].max() < 0


def test_trend_follows_the_budget_where_it_does():
    curve = np.zeros((2, 3, 4))
    curve[0, [0, 0, 1, 2], range(4)] = 1.0  # best K: 1, 1, 3, 9
    curve[1, 0] = 1.0  # always 1
    trend = evidence._trend(curve, (1, 3, 9), (0.1, 1.0, 10.0, 100.0))
    assert trend[0] > 0.9
    assert trend[1] == 0.0


def test_permuted_labels_and_blind_sets_are_at_chance(variants):
    assert variants.balanced("permuted", 50).mean() < 0.45  # 8 classes, few draws
    assert variants.k_curve(blind=True).mean() == pytest.approx(1 / 8, abs=0.1)
    assert variants.k_curve()[:, 0, -1].mean() > 0.9
    with pytest.raises(ValueError, match="name must be one of"):
        variants.balanced("magic", 50)


def test_all_classes_together_lose_what_one_class_loses_and_a_changed_label_more():
    found = guarantee()
    # a record is in one class, so the worst neighbours of two classes are those of one; a data set of both is worse
    # nowhere, and the listing has found the same pairs
    assert found.parts["all_classes"] == pytest.approx(found.parts["public"])
    assert (found.controls["label_change"] > found.parts["all_classes"]).all()


def test_guarantee_holds_and_every_fault_shows():
    found, claim = guarantee(), claims.load_claims()["dppl-4"]
    assert set(found.parts) == {part.name for part in claim.parts}
    assert set(found.controls) == {control.name for control in claim.controls}
    for name, values in found.parts.items():
        assert values.max() <= 1 + 1e-9, name
    for name, values in found.controls.items():
        assert values.max() > 1.01, name


def test_combinations_give_one_value_each():
    gaps = combination_gaps({"one": TASK, "two": TASK}, replace(PLAN, n_seeds=2), n_tuning=1)
    assert len(gaps) == 4
    assert (gaps["chance"] == 1 / 8).all()
    found = combinations(gaps)
    assert found.parts["combinations"].shape == found.controls["permuted_labels"].shape == (2,)
    assert found.parts["combinations"][0] == found.parts["combinations"][1]  # the same task twice


def test_views_agree_with_the_scores():
    scores = first_scores(TASK, 20)
    chosen = chosen_images(scores, [2, 5], epsilon=1e4, n_draws=2, seed=0)
    assert chosen.tolist() == [scores[[2, 5]].argmax(axis=1).tolist()] * 2
    found = hit_probabilities(TASK, TASK.proxy_labels, rows=[5, 40], epsilons=[1e-6, 100.0])
    blind, sure = (found[found["epsilon"] == e]["probability"] for e in (1e-6, 100.0))
    assert blind.to_numpy() == pytest.approx(1 / 8, abs=1e-3)
    assert sure.min() > 0.95


def test_inputs_by_name(tmp_path, monkeypatch):
    sizes = {"n_training": 64, "n_public": 80, "n_private": 80, "n_test": 120}
    sources = load_sources("scenes", **sizes, seed=0)
    networks = choose_encoders(["untrained", "timm:resnet18"], sources, steps=5)
    assert networks["timm:resnet18"] == "timm:resnet18"
    assert set(GRADES) == {"untrained", "short", "trained"}
    pools = choose_pools(["held_out", "noise"], sources, 20)
    assert pools["held_out"][0] is sources.public
    assert (pools["noise"][1] == -1).all()
    tasks = further_tasks(
        sources, {"untrained": networks["untrained"]}, ["digits"], n_public=5, n_private=5, n_test=5
    )
    assert list(tasks) == ["scenes, untrained", "digits, untrained"]
    assert tasks["digits, untrained"].n_classes == 10
    with pytest.raises(ValueError, match="encoders must be among"):
        choose_encoders(["best"], sources, steps=5)


def test_variants_need_their_controls():
    with pytest.raises(ValueError, match="must include 'noise'"):
        run_variants(replace(TASK, pools={"held_out": TASK.pool}), PLAN, k_grid=K)
    with pytest.raises(ValueError, match="must start with 1"):
        run_variants(TASK, PLAN, k_grid=(2, 3))
