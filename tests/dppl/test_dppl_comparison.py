"""The comparison on embeddings small enough to know the answers."""

from dataclasses import replace

import numpy as np
import pytest

from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.comparison import compare
from trustlib.dppl.comparison_methods import mean_accuracies, public_accuracies
from trustlib.dppl.comparison_plan import BASELINES, METHODS, REFERENCES, Plan, trials
from trustlib.dppl.comparison_settings import GRIDS, choose_settings, longest_chosen, settings_table
from trustlib.dppl.comparison_sources import load_pool, load_sources
from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.embeddings import unit_rows
from trustlib.dppl.means import DPPrototypeMean
from trustlib.dppl.metrics import class_accuracies


def make_task(seed=0, n=160, d=6, classes=4):
    """Classes around the first axes, a public pool from the same law, another pool of pure noise."""
    rng = np.random.default_rng(seed)

    def draw(m):
        y = np.arange(m) % classes
        return unit_rows(np.eye(d)[y] + 0.25 * rng.standard_normal((m, d))), y

    (X, y), (test, test_y), (pool, pool_y) = draw(n), draw(200), draw(n)
    noise = unit_rows(rng.standard_normal((50, d)))
    names = tuple("abcd"[:classes])
    return Task(X, y, test, test_y, {"held_out": pool, "noise": noise}, pool, pool_y, names, "toy")


TASK = make_task()
PLAN = Plan(rhos=(0.005, 0.5, 50), ratios=(1, 10), largest=30, n_seeds=2, seed=0, n_draws=3)


def test_sizes_follow_the_ratio_and_rare_classes_stay_the_same():
    found = list(trials(TASK, PLAN))
    assert len(found) == 4
    even, uneven = found[:2]
    assert even.sizes.tolist() == [30] * 4
    assert sorted(uneven.sizes.tolist()) == [3, 6, 14, 30]  # 30 * 10^(-t / 4), t = 0, 4/3, 8/3, 4
    assert even.groups.tolist() == uneven.groups.tolist() == uneven.sizes.tolist()
    assert np.array_equal(np.bincount(uneven.y), uneven.sizes)


def test_permuted_labels_keep_rows_and_sizes():
    [plain], [dealt] = (
        list(trials(TASK, replace(PLAN, n_seeds=1), ratio=10, permute=permute)) for permute in (False, True)
    )
    assert np.array_equal(plain.X, dealt.X)
    assert np.array_equal(plain.sizes, np.bincount(dealt.y))
    assert not np.array_equal(plain.y, dealt.y)


@pytest.fixture(scope="module")
def compared():
    return compare(TASK, PLAN)


def test_all_methods_solve_an_easy_task_at_a_loose_budget(compared):
    for method in (*METHODS, *REFERENCES):
        if method != "coinpress":  # diverges on three rows
            assert compared.balanced(method, ratio=1, rho=50).min() > 0.9, method


def test_a_tighter_budget_costs_accuracy(compared):
    for ratio in PLAN.ratios:
        tight, loose = (compared.balanced("public", ratio=ratio, rho=rho).mean() for rho in (0.005, 50))
        assert tight < loose


def test_groups_and_frame(compared):
    accuracy = compared.by_class("public", ratio=10, rho=0.5)
    rare = compared.groups.argmin(axis=1)  # a quarter of four classes is one
    assert compared.minority("public", ratio=10, rho=0.5) == pytest.approx(accuracy[np.arange(2), rare])
    frame = compared.to_frame()
    assert len(frame) == len(compared.methods) * 2 * 3 * 2
    assert frame["balanced"].between(0, 1).all()


def test_equal_seeds_give_equal_numbers_and_methods_have_their_own_streams(compared):
    again = compare(TASK, PLAN, methods=("dp_sgd", "public"))
    for method in again.methods:
        same = compared.by_class(method, ratio=10, rho=0.5)
        assert np.array_equal(again.by_class(method, ratio=10, rho=0.5), same)


def test_controls_learn_nothing():
    [trial] = trials(TASK, replace(PLAN, n_seeds=1, n_draws=50), ratio=1)
    plan = replace(PLAN, n_draws=50)
    right = public_accuracies(trial, TASK, plan)[-1].mean()
    blind = public_accuracies(trial, TASK, plan, blind=True)[-1].mean()
    assert right > 0.9
    assert abs(blind - 0.25) < 0.15  # sd of one draw about .2 on four prototypes, of the mean of 50 about .03
    assert public_accuracies(trial, TASK, plan, pool="noise")[-1].mean() < right


def test_more_prototypes_and_pooled_means_have_the_same_shape():
    [trial] = trials(TASK, replace(PLAN, n_seeds=1), ratio=1)
    assert public_accuracies(trial, TASK, PLAN, k=3).shape == (3, 4)
    assert public_accuracies(trial, TASK, PLAN, window=(1.0, 1.9)).shape == (3, 4)
    assert mean_accuracies(trial, TASK, PLAN, estimator="coinpress", pool=2).shape == (3, 4)
    assert mean_accuracies(trial, TASK, PLAN, estimator="auto")[-1].mean() > 0.9


@pytest.mark.parametrize(("estimator", "adjacency"), [("coinpress", "replace"), ("naive", "add_remove")])
@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.filterwarnings("ignore::trustlib.dppl.means.DivergingScheduleWarning")
def test_means_are_those_of_the_estimator_with_the_same_stream(estimator, adjacency, pool):
    plan = replace(PLAN, n_seeds=1, n_draws=1)
    [trial] = trials(TASK, plan, ratio=10)
    found = mean_accuracies(trial, TASK, plan, estimator=estimator, pool=pool)
    for j, rho in enumerate(plan.rhos):
        model = DPPrototypeMean(PrivacyBudget(rho), estimator=estimator, adjacency=adjacency, pool=pool)
        rng = trial.stream(plan, f"mean {estimator} {pool}", rho)
        model.fit(trial.X, trial.y, classes=range(4), rng=rng)
        expected = class_accuracies(TASK.test_labels, model.predict(TASK.test), classes=4)
        assert found[j] == pytest.approx(
            expected, abs=0.021
        )  # one of 50 test points: a vote in single precision
        assert model.ledger_.to_zcdp().rho == pytest.approx(rho)


def test_the_probe_without_noise_follows_the_settings_of_dp_sgd():
    settings = {("dp_sgd", 10.0, rho): {"steps": steps} for rho, steps in ((0.005, 1), (0.5, 60), (50.0, 60))}
    found = compare(TASK, replace(PLAN, settings=settings), methods=("noise_off", "dp_sgd"))
    short, long, same = (found.by_class("noise_off", ratio=10, rho=rho) for rho in PLAN.rhos)
    assert np.array_equal(long, same)
    assert long.mean() > short.mean()
    loud = replace(PLAN, rhos=(1e12,), ratios=(1,), settings={})
    pair = compare(TASK, loud, methods=("noise_off", "dp_sgd"))
    assert pair.balanced("dp_sgd", ratio=1, rho=1e12) == pytest.approx(
        pair.balanced("noise_off", ratio=1, rho=1e12), abs=0.01
    )


def test_choices_are_shown_and_those_at_the_edge_of_the_grid_counted():
    settings = {
        ("dp_sgd", 10.0, 0.5): {"steps": 640, "learning_rate": 2.0},
        ("dp_sgd", 10.0, 50.0): {"steps": 40, "learning_rate": 8.0},
        ("global_adapt", 10.0, 0.5): {"steps": 160, "learning_rate": 2.0},
        ("least_squares", 10.0, 0.5): {"alpha": 1.0, "regularization": 0.1},
        ("dp_sgd", 1.0, 0.5): {"steps": 640, "learning_rate": 2.0},
    }
    table = settings_table(settings, ratio=10.0)
    assert table.shape == (2, 6)
    assert table.loc[0.5, ("DP-SGD probe", "steps")] == 640
    assert table.loc[50.0, ("DP-SGD probe", "learning rate")] == 8.0
    assert longest_chosen(settings, ratio=10.0, rhos=(0.5,)) == (1, 2)


def test_settings_come_from_public_rows_alone():
    chosen = choose_settings(TASK, PLAN, n_seeds=1)
    assert set(chosen) == {(m, r, rho) for m in GRIDS for r in PLAN.ratios for rho in PLAN.rhos}
    assert set(GRIDS) < set(BASELINES)
    other = replace(TASK, private=TASK.private[::-1], test=TASK.test[::-1])
    assert choose_settings(other, PLAN, n_seeds=1) == chosen
    assert set(choose_settings(TASK, PLAN, n_seeds=1, methods=("least_squares",))) < set(chosen)
    with pytest.raises(ValueError, match="larger pool or a smaller ratio"):
        choose_settings(replace(TASK, proxy=TASK.proxy[:8], proxy_labels=TASK.proxy_labels[:8]), PLAN)


def test_sources_are_disjoint_and_classes_are_pairs():
    parts = load_sources("scenes", n_training=40, n_public=60, n_private=80, n_test=80, seed=1)
    assert len(parts.classes) == 20
    everything = [*parts.training, *parts.public, *parts.private, *parts.test]
    assert len({x.tobytes() for x in everything}) == len(everything)
    assert parts.public_labels.min() == -1  # other colours
    assert parts.private_labels.min() >= 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Plan(rhos=(0.5, 0.05), ratios=(1,), largest=5, n_seeds=1, seed=0), "ascending"),
        (lambda: Plan(rhos=(0.5,), ratios=(0.5,), largest=5, n_seeds=1, seed=0), "at least 1"),
        (lambda: Plan(rhos=(0.5,), ratios=(1,), largest=0, n_seeds=1, seed=0), "largest must be at least 1"),
        (lambda: PLAN.at("rhos", 3), "not among rhos"),
        (lambda: compare(TASK, PLAN, methods=("magic",)), "methods must be among"),
        (lambda: replace(TASK, pools={}), "at least one public pool"),
        (lambda: replace(TASK, test=TASK.test[:, :3]), "same dimensions"),
        (lambda: load_sources("scenes", n_training=0, n_public=0, n_private=5, n_test=5), "needs images"),
    ],
)
def test_errors_say_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_noise_pool():
    assert load_pool("noise", 5, seed=1).shape == (5, 3, 32, 32)
    assert not np.array_equal(load_pool("noise", 5, seed=1), load_pool("noise", 5, seed=2))
