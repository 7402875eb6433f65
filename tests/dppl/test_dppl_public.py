"""DPPL-Public and Top-K as estimators: law, blocks, ledger, votes, plans, copies, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.base import clone

from trustlib.dppl import (
    ClassListWarning,
    DPPrototypePublic,
    EmptyClassWarning,
    PrivacyBudget,
    class_scores,
    cosine_votes,
    selection_error,
    selection_log_probabilities,
    slot_choices,
)
from trustlib.privacy import ZCDP, BudgetExceeded, PrivacyLedger, PureDP

BUDGET = PrivacyBudget(0.5)
WINDOWS = pytest.mark.parametrize("window", [(0.0, 2.0), (1.0, 1.9)])


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    centres = np.eye(8)[:3] * 3
    y = np.repeat([0, 1, 2], [60, 30, 10])
    public = centres[rng.integers(0, 3, 50)] + rng.normal(size=(50, 8))
    return centres[y] + rng.normal(size=(100, 8)), y, public


@WINDOWS
@pytest.mark.parametrize("adjacency", ["add_remove", "replace"])
def test_fit_draws_from_the_exact_law(data, window, adjacency):
    X, y, _ = data
    V = np.eye(8)[:4]
    model = DPPrototypePublic(
        PrivacyBudget(2e-3), d_min=window[0], d_max=window[1], adjacency=adjacency, block_size=3
    )
    rng, draws = np.random.default_rng(1), 800
    law = np.exp(model.selection_log_probs(X, y, V, classes=[0, 1, 2]))
    found = np.zeros((3, 4))
    for _ in range(draws):
        twin = clone(model).fit(X, y, V, classes=[0, 1, 2], rng=rng)
        found[np.arange(3), twin.prototype_indices_[:, 0]] += 1
    statistic = ((found - draws * law) ** 2 / (draws * law)).sum()
    # chi-squared with 9 degrees of freedom; 35.8 is exceeded four times in 10^5
    assert statistic < 35.8
    scores = class_scores(X, y, V, classes=[0, 1, 2], d_min=window[0], d_max=window[1])
    expected = selection_log_probabilities(scores, epsilon=math.sqrt(8 * 2e-3), adjacency=adjacency)
    np.testing.assert_allclose(np.log(law), expected, atol=1e-6)


@WINDOWS
@pytest.mark.parametrize("k", [1, 4])
def test_scores_computed_before_give_the_same_draws(data, window, k):
    X, y, V = data
    model = DPPrototypePublic(BUDGET, d_min=window[0], d_max=window[1], k=k, block_size=16)
    model.fit(X, y, V, classes=[0, 1, 2], rng=np.random.default_rng(7))
    scores = class_scores(X, y, V, classes=[0, 1, 2], d_min=window[0], d_max=window[1], block_size=16)
    again = clone(model).fit_scores(scores, V, classes=[0, 1, 2], rng=np.random.default_rng(7))
    np.testing.assert_array_equal(model.prototype_indices_, again.prototype_indices_)
    np.testing.assert_array_equal(model.prototypes_, V[model.prototype_indices_])


def test_groups_of_classes_change_nothing(data, monkeypatch):
    from trustlib.dppl import public as module

    X, y, V = data
    fits = []
    for allowed in (1, 1 << 28):  # one class at a time, all at once
        monkeypatch.setattr(module, "_SCORE_BYTES", allowed)
        model = DPPrototypePublic(BUDGET, k=3, d_min=1.0, d_max=1.9, block_size=7, precision="float64")
        fits.append(model.fit(X, y, V, classes=[2, 0, 1], rng=np.random.default_rng(3)).prototype_indices_)
    np.testing.assert_array_equal(*fits)


def test_memory_mapped_pool_tensors_and_arrays_agree(data, tmp_path):
    X, y, V = data
    np.save(tmp_path / "pool.npy", V)
    pools = [V, np.load(tmp_path / "pool.npy", mmap_mode="r"), torch.from_numpy(V)]
    fits = [
        DPPrototypePublic(BUDGET, k=2, d_min=1.0, d_max=1.9).fit(
            X, y, pool, classes=[0, 1, 2], rng=np.random.default_rng(0)
        )
        for pool in pools
    ]
    for other in fits[1:]:
        np.testing.assert_array_equal(fits[0].prototypes_, other.prototypes_)
    x = torch.from_numpy(X.astype(np.float32))
    assert (fits[0].predict(x) == fits[0].predict(X)).mean() > 0.98  # near ties may flip in single precision


def test_loose_budget_gives_the_nearest_public_samples(data):
    X, y, V = data
    model = DPPrototypePublic(PrivacyBudget(1e6), k=2).fit(
        X, y, V, classes=[0, 1, 2], rng=np.random.default_rng(0)
    )
    for c in range(3):
        units = X[y == c] / np.linalg.norm(X[y == c], axis=1, keepdims=True)
        closeness = V / np.linalg.norm(V, axis=1, keepdims=True) @ units.sum(axis=0)
        assert set(model.prototype_indices_[c]) == set(np.argsort(-closeness)[:2])
    assert model.score(X, y) > 0.9


def test_labels_that_mean_nothing_leave_chance(data):
    X, y, V = data
    rng = np.random.default_rng(0)
    hits = [
        DPPrototypePublic(BUDGET).fit(X, rng.permutation(y), V, classes=[0, 1, 2], rng=rng).predict(X) == y
        for _ in range(200)
    ]
    accuracy = np.mean([np.mean([h[y == c].mean() for c in range(3)]) for h in hits])
    # a prediction that knows nothing has 1/3; one draw deviates by at most 0.3, their mean by 0.3 / sqrt(200)
    assert abs(accuracy - 1 / 3) < 0.1


def test_ledger_says_what_was_spent_on_which_relation(data):
    X, y, V = data
    fit = {"classes": ["a", "b", "c"], "rng": np.random.default_rng(0)}
    names = np.array(["a", "b", "c"])[y]
    model = DPPrototypePublic(BUDGET).fit(X, names, V, **fit)
    assert (model.ledger_.relation, model.ledger_.parts, len(model.ledger_)) == ("add_remove", "by_value", 3)
    assert model.ledger_.total() == PureDP(2.0, bounded_range=True)
    assert model.ledger_.to_zcdp() == ZCDP(0.5)
    assert set(model.predict(X)) <= {"a", "b", "c"}
    model.fit(X, names, V, **fit)
    assert model.ledger_.to_zcdp() == ZCDP(1.0)
    assert model.ledger_.total() == PureDP(4.0)
    other = DPPrototypePublic(BUDGET, adjacency="replace").fit(X, names, V, **fit)
    assert (other.ledger_.relation, len(other.ledger_)) == ("substitution", 1)
    assert other.ledger_.to_zcdp() == ZCDP(0.5)


def test_clones_spend_from_the_same_ledger_and_limits_hold(data):
    X, y, V = data
    ledger = PrivacyLedger("add_remove", unit="one image", parts="by_value", limit=PureDP(3.0))
    model = DPPrototypePublic(BUDGET, ledger=ledger)
    model.fit(X, y, V, classes=[0, 1, 2], rng=np.random.default_rng(0))
    with pytest.raises(BudgetExceeded):
        clone(model).fit(X, y, V, classes=[0, 1, 2], rng=np.random.default_rng(1))
    assert len(ledger) == 3
    plain = PrivacyLedger("add_remove", unit="one image")  # adds everything up: one joint entry
    DPPrototypePublic(BUDGET, ledger=plain).fit(X, y, V, classes=[0, 1, 2], rng=np.random.default_rng(0))
    assert len(plain) == 1


def test_votes_by_hand():
    x = [[1.0, 0.0]]
    prototypes = [[[1.0, 0.0], [0.0, 1.0]], [[3.0, 4.0], [3.0, 4.0]]]  # cosines (1, 0) and (0.6, 0.6)
    np.testing.assert_allclose(cosine_votes(x, prototypes, vote="max"), [[1.0, 0.6]])
    np.testing.assert_allclose(cosine_votes(x, prototypes, vote="mean"), [[math.sqrt(0.5), 0.6]])
    assert slot_choices(x, prototypes).tolist() == [[0, 1]]
    # half of the slots each, plus (1 + mean cosine) / 8 with mean cosines 0.5 and 0.6
    np.testing.assert_allclose(cosine_votes(x, prototypes, vote="slot"), [[0.6875, 0.7]])


def test_votes_against_loops_and_equal_for_one_prototype():
    rng = np.random.default_rng(0)
    x, prototypes = rng.normal(size=(20, 4)), rng.normal(size=(3, 5, 4))
    cosine = np.array(
        [[[np.dot(a, p) / np.linalg.norm(a) / np.linalg.norm(p) for p in ps] for ps in prototypes] for a in x]
    )
    np.testing.assert_allclose(cosine_votes(x, prototypes, vote="max"), cosine.max(axis=2))
    np.testing.assert_array_equal(slot_choices(x, prototypes), cosine.argmax(axis=1))
    shares = cosine_votes(x, prototypes, vote="slot")
    votes = np.stack([(cosine.argmax(axis=1) == c).sum(axis=1) for c in range(3)], axis=1)
    for i in range(20):  # never against the number of votes
        order = np.argsort(-shares[i])
        assert (np.diff(votes[i][order]) <= 0).all()
    single = prototypes[:, :1]
    first = cosine_votes(x, single, vote="max").argmax(axis=1)
    for vote in ("mean", "slot"):
        np.testing.assert_array_equal(cosine_votes(x, single, vote=vote).argmax(axis=1), first)


def test_slot_accuracy_averages_the_slots(data):
    X, y, V = data
    model = DPPrototypePublic(BUDGET, k=3, vote="slot").fit(
        X, y, V, classes=[0, 1, 2], rng=np.random.default_rng(0)
    )
    singles = []
    for slot in range(3):
        choice = cosine_votes(X, model.prototypes_[:, slot : slot + 1], vote="max").argmax(axis=1)
        singles.append((choice == y).mean())
    assert model.slot_accuracy(X, y) == pytest.approx(np.mean(singles))
    with pytest.raises(ValueError, match=r"labels must have shape"):
        model.slot_accuracy(X, y[:3])


@pytest.mark.parametrize("k", [1, 3])
def test_selection_error_is_a_bound_on_what_is_lost(k):
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 40, 200)
    budget, failure = PrivacyBudget(0.02), 0.1
    bound = selection_error(
        200, budget=budget, adjacency="add_remove", d_min=1.0, d_max=1.5, size=40, failure=failure, k=k
    )
    model = DPPrototypePublic(budget, k=k, d_min=1.0, d_max=1.5)
    V = rng.normal(size=(200, 2))
    best = np.sort(scores)[-k]
    lost = []
    for _ in range(400):
        found = clone(model).fit_scores(scores[None], V, classes=[0], rng=rng)
        lost.append(best - scores[found.prototype_indices_[0]].min())
    # the bound is on mean similarity: utilities times the width of the window over the size; fails in 10 % at most,
    # with a standard error of 1.5 %
    assert np.mean(np.array(lost) * 0.5 / 40 > bound) <= failure + 4.5 * 0.015
    assert bound < 0.5 * 40  # says something


def test_selection_error_by_hand():
    how = {"adjacency": "add_remove", "d_min": 0.0, "d_max": 2.0, "failure": 0.05}
    # 2 (log 1000 + log 20) / (2 * 100)
    found = selection_error(1000, budget=BUDGET, size=100, **how)
    assert found == pytest.approx(2 * (math.log(1000) + math.log(20)) / 200)
    half = selection_error(1000, budget=BUDGET, size=100, **{**how, "adjacency": "replace"})
    assert half == pytest.approx(2 * found)
    with pytest.raises(ValueError, match=r"failure must lie in \(0, 1\)"):
        selection_error(1000, budget=BUDGET, size=100, **{**how, "failure": 0.0})
    with pytest.raises(ValueError, match=r"n_public must be at least 5"):
        selection_error(4, budget=BUDGET, size=100, k=5, **how)


def test_law_of_top_k_is_over_sets(data):
    X, y, V = data
    model = DPPrototypePublic(BUDGET, k=2)
    law = model.selection_log_probs(X, y, V[:6], classes=[0, 1, 2])
    assert law.shape == (3, 15)
    np.testing.assert_allclose(np.exp(law).sum(axis=1), 1.0)


def test_empty_class_must_be_asked_for(data):
    X, y, V = data
    with pytest.raises(ValueError, match=r"1 of 4 classes have no private record, the first is 9"):
        DPPrototypePublic(BUDGET).fit(X, y, V, classes=[0, 1, 2, 9], rng=np.random.default_rng(0))
    model = DPPrototypePublic(PrivacyBudget(1e4), on_empty="accept")
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        with pytest.warns(EmptyClassWarning, match="uniform public samples"):
            twin = clone(model).fit(X, y, V[:2], classes=[0, 1, 2, 9], rng=rng)
        found.append(twin.prototype_indices_[3, 0])
    assert abs(np.mean(found) - 0.5) < 4.5 * 0.5 / math.sqrt(400)  # uniform, whatever the budget


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"d_min": 1.5, "d_max": 1.0}, r"0 <= d_min < d_max <= 2"),
        ({"k": 0}, r"k must be at least 1"),
        ({"k": 51}, r"k must be at most the 50 public samples"),
        ({"vote": "median"}, r"vote must be one of max, mean, slot"),
        ({"adjacency": "swap"}, r"adjacency must be one of"),
        ({"block_size": -1}, r"block_size must be at least 1"),
        ({"precision": "int8"}, r"precision must be one of"),
        ({"on_empty": "skip"}, r"on_empty must be one of"),
    ],
)
def test_bad_options_are_named(data, options, match):
    X, y, V = data
    model = DPPrototypePublic(BUDGET, **options)
    with pytest.raises(ValueError, match=match):
        model.fit(X, y, V, classes=[0, 1, 2], rng=np.random.default_rng(0))
    assert not hasattr(model, "ledger_")


def test_bad_data_is_named_and_costs_nothing(data):
    X, y, V = data
    rng = np.random.default_rng(0)
    model = DPPrototypePublic(BUDGET, block_size=8)
    for bad in (np.nan, 0.0):
        broken = V.copy()
        broken[-1] = bad
        with pytest.raises(ValueError, match=r"public_embeddings must"):
            model.fit(X, y, broken, classes=[0, 1, 2], rng=rng)
    with pytest.raises(ValueError, match=r"public_embeddings must have 8 dimensions"):
        model.fit(X, y, V[:, :5], classes=[0, 1, 2], rng=rng)
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator"):
        model.fit(X, y, V, classes=[0, 1, 2], rng=None)
    with pytest.raises(TypeError, match=r"budget must be a PrivacyBudget"):
        DPPrototypePublic(1.0).fit(X, y, V, classes=[0, 1, 2], rng=rng)
    with pytest.raises(ValueError, match=r"scores must have shape"):
        model.fit_scores(np.zeros((2, 50)), V, classes=[0, 1, 2], rng=rng)
    assert not hasattr(model, "ledger_")
    with pytest.warns(ClassListWarning):
        model.fit(X, y, V, classes=None, rng=rng)
    with pytest.raises(ValueError, match=r"x must have the 8 dimensions of fit, got 2"):
        model.predict(X[:, :2])
    with pytest.raises(ValueError, match=r"vote must be one of"):
        cosine_votes(X, model.prototypes_, vote="median")
    with pytest.raises(ValueError, match=r"prototypes must have shape"):
        cosine_votes(X, model.prototypes_[0], vote="max")


def test_fitted_model_keeps_no_private_data(data):
    X, y, V = data
    model = DPPrototypePublic(BUDGET).fit(X, y, V, classes=[0, 1, 2], rng=np.random.default_rng(0))
    kept = {name for name in vars(model) if name.endswith("_")}
    assert kept == {"prototypes_", "prototype_indices_", "classes_", "ledger_", "n_features_in_"}
