"""DPPL-Mean: schedules by hand, noise, plans without data, both relations, CoinPress against a loop, bad input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trustlib.dppl import (
    ClassListWarning,
    DivergingScheduleWarning,
    DPPrototypeMean,
    EmptyClassWarning,
    PrivacyBudget,
    coinpress_gamma,
    coinpress_mean,
    coinpress_schedule,
    plan_mean,
)
from trustlib.privacy import BudgetExceeded, GaussianDP, PrivacyLedger

BUDGET = PrivacyBudget(0.5)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    centres = np.eye(8)[:3] * 3
    y = np.repeat([0, 1, 2], [60, 30, 10])
    return centres[y] + rng.normal(size=(100, 8)), y


def test_one_step_by_hand():
    # d = 4, L = log 100 = 4.605170; gamma^2 = 4 + 2 sqrt(4 L) + 2 L = 4 + 8.583865 + 9.210340 = 21.794205
    gamma = math.sqrt(21.794205)
    assert coinpress_gamma(4) == pytest.approx(gamma, rel=1e-7)
    (step,) = coinpress_schedule(10, 4, rho=0.5, radius=2.0, split=(1,)).steps
    # min(sqrt(4 + 12 + 21.794205), 2 + 4.668427) = min(6.147699, 6.668427)
    assert step.clip == pytest.approx(math.sqrt(37.794205), rel=1e-7)
    assert step.sigma == pytest.approx(2 * math.sqrt(37.794205) / 10, rel=1e-7)  # / sqrt(2 * 0.5) = 1
    assert step.radius == pytest.approx(gamma * math.sqrt(0.1 + step.sigma**2), rel=1e-7)


def test_schedule_explodes_for_five_records_in_1280_dimensions():
    long = coinpress_schedule(5, 1280, rho=0.5, radius=math.sqrt(1280))
    assert [round(s.radius) for s in long.steps[:2]] == [2946, 135497]
    assert round(long.sigma) == 60129
    assert long.diverges
    short = coinpress_schedule(5, 1280, rho=0.5, radius=math.sqrt(1280), split=(1,))
    assert round(short.sigma, 1) == 21.7
    assert not short.diverges


def test_budget_of_the_steps_is_the_budget():
    schedule = coinpress_schedule(50, 16, rho=0.7, radius=4.0)
    assert math.fsum(s.rho for s in schedule.steps) == pytest.approx(0.7)
    assert [round(s.rho / 0.7 * 64, 9) for s in schedule.steps] == [5, 7, 52]
    # what Gaussian noise of that size on a statistic of that sensitivity spends: (2 R / n)^2 / (2 sigma^2)
    for s in schedule.steps:
        assert (2 * s.clip / 50) ** 2 / (2 * s.sigma**2) == pytest.approx(s.rho)


def test_coinpress_equals_a_plain_loop():
    X = np.random.default_rng(1).normal(1.0, 1.0, (40, 3))
    schedule = coinpress_schedule(40, 3, rho=2.0, radius=5.0)
    found = coinpress_mean(X, schedule=schedule, rng=np.random.default_rng(9))
    rng, centre = np.random.default_rng(9), [0.0] * 3
    for step in schedule.steps:
        total = [0.0] * 3
        for x in X.tolist():
            away = [a - c for a, c in zip(x, centre, strict=True)]
            scale = min(1.0, step.clip / math.hypot(*away))
            total = [t + c + scale * a for t, c, a in zip(total, centre, away, strict=True)]
        noise = step.sigma * rng.standard_normal(3)
        centre = [t / 40 + z for t, z in zip(total, noise, strict=True)]
    np.testing.assert_allclose(found, centre)


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_a_replaced_record_moves_a_step_by_at_most_its_sensitivity(seed, n):
    rng = np.random.default_rng(seed)
    X = 20 * rng.normal(size=(n, 3))
    Y = X.copy()
    Y[0] = 20 * rng.normal(size=3)
    schedule = coinpress_schedule(n, 3, rho=1.0, radius=2.0, split=(1,))
    # the same noise in both, so that the difference of the releases is that of the clipped means
    one = coinpress_mean(X, schedule=schedule, rng=np.random.default_rng(0))
    two = coinpress_mean(Y, schedule=schedule, rng=np.random.default_rng(0))
    assert np.linalg.norm(one - two) <= 2 * schedule.steps[0].clip / n * (1 + 1e-12)


def test_coinpress_zooms_in_where_it_should():
    X = np.random.default_rng(0).normal(0.5, 1.0, (5000, 4))
    schedule = coinpress_schedule(5000, 4, rho=0.5, radius=1000.0)
    assert not schedule.diverges
    plain = 2 * 1000.0 / 5000  # noise of a naive mean clipped at the start radius
    assert schedule.sigma < plain / 50
    found = coinpress_mean(X, schedule=schedule, rng=np.random.default_rng(0))
    # standard error 1 / sqrt(5000) = 0.014 beside the noise: 4.5 of both
    assert np.abs(found - 0.5).max() < 4.5 * math.hypot(0.0142, schedule.sigma)


def test_naive_noise_has_the_stated_size():
    X, y = np.ones((10, 1000)), np.zeros(10, dtype=int)
    model = DPPrototypeMean(BUDGET, estimator="naive").fit(X, y, classes=[0], rng=np.random.default_rng(0))
    (plan,) = model.plans_
    assert plan.sigma == pytest.approx(2 / 10)  # 2 r / (n sqrt(2 rho)) with r = 1
    noise = model.prototypes_[0, 0] - 1000**-0.5
    # standard deviation over 1000 coordinates has a relative error of 1 / sqrt(2000) = 2.2 %
    assert noise.std() == pytest.approx(0.2, rel=0.1)
    assert abs(noise.mean()) < 4.5 * 0.2 / math.sqrt(1000)


def test_sum_for_add_remove_has_half_the_noise_of_the_mean_for_replace():
    X, y = np.ones((10, 4)), np.zeros(10, dtype=int)
    how = {"classes": [0], "rng": np.random.default_rng(0)}
    mean = DPPrototypeMean(BUDGET, estimator="naive").fit(X, y, **how)
    total = DPPrototypeMean(BUDGET, estimator="naive", adjacency="add_remove").fit(X, y, **how)
    assert total.plans_[0].sigma / 10 == pytest.approx(mean.plans_[0].sigma / 2)
    assert np.linalg.norm(total.prototypes_) == pytest.approx(1.0)


def test_loose_budget_gives_the_class_means(data):
    X, y = data
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    for estimator in ("naive", "coinpress", "auto"):
        model = DPPrototypeMean(PrivacyBudget(1e9), estimator=estimator)
        model.fit(X, y, classes=[2, 0, 1], rng=np.random.default_rng(0))
        for c, prototype in zip([2, 0, 1], model.prototypes_[:, 0], strict=True):
            np.testing.assert_allclose(prototype, units[y == c].mean(axis=0), atol=1e-3)
        assert model.score(X, y) > 0.9
    total = DPPrototypeMean(PrivacyBudget(1e9), estimator="auto", adjacency="add_remove")
    total.fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(0))
    mean = units[y == 1].mean(axis=0)
    np.testing.assert_allclose(total.prototypes_[1, 0], mean / np.linalg.norm(mean), atol=1e-3)


def test_auto_takes_the_smaller_noise_and_refuses_divergence():
    how = {"budget": BUDGET, "clip_norm": 1.0, "radius": 1.0, "unit": 1280**-0.5}
    few = plan_mean(5, 1280, estimator="auto", **how)
    assert (few.estimator, few.diverges) == ("naive", True)
    forced = plan_mean(5, 1280, estimator="coinpress", **how)
    assert forced.diverges
    assert forced.sigma > 100 * few.sigma
    # far from the origin and many records: a naive mean would pay for the whole radius
    far = {"budget": BUDGET, "clip_norm": 1000.0, "radius": 1000.0, "unit": 1.0}
    many = plan_mean(5000, 4, estimator="auto", **far)
    assert (many.estimator, many.diverges) == ("coinpress", False)
    assert many.sigma < plan_mean(5000, 4, estimator="naive", **far).sigma / 50


@given(
    st.integers(1, 5000), st.integers(1, 500), st.floats(1e-3, 50), st.floats(0.1, 100), st.floats(0.1, 100)
)
def test_auto_is_never_noisier_than_naive_and_needs_no_data(n, d, rho, clip_norm, radius):
    how = {"budget": PrivacyBudget(rho), "clip_norm": clip_norm, "radius": radius, "unit": 1.0}
    auto = plan_mean(n, d, estimator="auto", **how)
    assert auto.sigma <= plan_mean(n, d, estimator="naive", **how).sigma * (1 + 1e-12)
    assert auto.estimator == "naive" or not auto.diverges


def test_diverging_schedule_is_warned_about(data):
    X, y = data
    with pytest.warns(DivergingScheduleWarning, match=r"diverges for 3 of 3 classes"):
        DPPrototypeMean(PrivacyBudget(0.05), estimator="coinpress").fit(
            X, y, classes=[0, 1, 2], rng=np.random.default_rng(0)
        )


def test_pooling_is_applied_to_training_and_test(data):
    X, y = data
    model = DPPrototypeMean(PrivacyBudget(1e9), estimator="naive", pool=3)
    model.fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(0))
    assert model.prototypes_.shape == (3, 1, 2)  # 8 // 3, two features dropped
    by_hand = DPPrototypeMean(PrivacyBudget(1e9), estimator="naive").fit(
        X[:, :6].reshape(100, 2, 3).mean(axis=2), y, classes=[0, 1, 2], rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(model.prototypes_, by_hand.prototypes_)
    np.testing.assert_array_equal(model.predict(X), by_hand.predict(X[:, :6].reshape(100, 2, 3).mean(axis=2)))


def test_ledger_says_what_was_spent_on_which_relation(data):
    X, y = data
    model = DPPrototypeMean(BUDGET, estimator="naive")
    model.fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(0))
    assert model.ledger_.relation == "substitution"
    assert model.ledger_.parts == "fixed"
    assert model.ledger_.total() == GaussianDP(1.0)  # once for all classes
    assert len(model.ledger_) == 3
    model.fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(1))
    assert model.ledger_.to_zcdp().rho == pytest.approx(1.0)  # a second fit adds up
    other = DPPrototypeMean(BUDGET, estimator="naive", adjacency="add_remove")
    other.fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(0))
    assert (other.ledger_.relation, other.ledger_.parts) == ("add_remove", "by_value")


def test_limit_of_a_ledger_holds_for_all_classes_at_once(data):
    X, y = data
    ledger = PrivacyLedger("substitution", unit="one image", parts="fixed", limit=GaussianDP(1.2))
    model = DPPrototypeMean(BUDGET, estimator="naive", ledger=ledger)
    model.fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(0))
    first = model.prototypes_
    with pytest.raises(BudgetExceeded, match="beyond the limit"):
        model.fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(1))
    assert len(ledger) == 3
    assert model.prototypes_ is first
    wrong = DPPrototypeMean(BUDGET, estimator="naive", adjacency="add_remove", ledger=ledger)
    with pytest.raises(ValueError, match="this ledger counts 'substitution'"):
        wrong.fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(0))


def test_tensors_and_arrays_give_the_same(data):
    X, y = data
    fits = [
        DPPrototypeMean(BUDGET, estimator="auto").fit(a, b, classes=[0, 1, 2], rng=np.random.default_rng(4))
        for a, b in ((X, y), (torch.from_numpy(X), torch.from_numpy(y)))
    ]
    np.testing.assert_array_equal(fits[0].prototypes_, fits[1].prototypes_)


def test_embeddings_as_they_come_need_a_public_scale(data):
    X, y = data
    how = {"classes": [0, 1, 2], "rng": np.random.default_rng(0)}
    for estimator in ("naive", "auto"):
        with pytest.raises(ValueError, match=r"clip_norm is missing"):
            DPPrototypeMean(BUDGET, estimator=estimator, normalise="none").fit(X, y, **how)
    with pytest.raises(ValueError, match=r"radius and coordinate_sd are missing"):
        DPPrototypeMean(BUDGET, estimator="coinpress", normalise="none").fit(X, y, **how)
    clipped = DPPrototypeMean(PrivacyBudget(1e9), estimator="naive", normalise="none", clip_norm=0.5).fit(
        X, y, **how
    )
    assert np.linalg.norm(clipped.prototypes_, axis=2).max() <= 0.5 + 1e-3
    raw = DPPrototypeMean(
        PrivacyBudget(1e9), estimator="coinpress", normalise="none", radius=8**0.5, coordinate_sd=1.0
    ).fit(X, y, **how)
    # with d = 8 a ball of radius gamma > 5.4 around the mean holds nearly all samples: clipping moves the mean a little
    np.testing.assert_allclose(raw.prototypes_[0, 0], X[y == 0].mean(axis=0), atol=0.2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"estimator": "median"}, r"estimator must be one of naive, coinpress, auto"),
        ({"estimator": "naive", "normalise": "max"}, r"normalise must be one of"),
        ({"estimator": "naive", "pool": 9}, r"pool must be at most the 8 dimensions"),
        ({"estimator": "naive", "clip_norm": -1.0}, r"clip_norm must be a finite number > 0"),
        ({"estimator": "naive", "clip_norm": -1.0, "adjacency": "add_remove"}, r"clip_norm must be a finite"),
        ({"estimator": "coinpress", "radius": 0.0}, r"radius must be a finite number > 0"),
        ({"estimator": "coinpress", "split": ()}, r"split must have one share"),
        ({"estimator": "coinpress", "split": (1.0, -1.0)}, r"split must be a finite number > 0"),
        ({"estimator": "coinpress", "adjacency": "add_remove"}, r"needs public class sizes"),
        ({"estimator": "naive", "adjacency": "swap"}, r"adjacency must be one of"),
        ({"estimator": "naive", "on_empty": "accept"}, r"on_empty='accept' has no meaning"),
        ({"estimator": "naive", "on_empty": "skip"}, r"on_empty must be one of"),
    ],
)
def test_bad_options_are_named(data, options, match):
    X, y = data
    with pytest.raises(ValueError, match=match):
        DPPrototypeMean(BUDGET, **options).fit(X, y, classes=[0, 1, 2], rng=np.random.default_rng(0))


def test_bad_data_is_named(data):
    X, y = data
    model = DPPrototypeMean(BUDGET, estimator="naive")
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"1 of 4 classes have no private record, the first is 9"):
        model.fit(X, y, classes=[0, 1, 2, 9], rng=rng)
    with pytest.raises(ValueError, match=r"labels must be among the 2 classes"):
        model.fit(X, y, classes=[0, 1], rng=rng)
    with pytest.raises(ValueError, match=r"no zero row"):
        model.fit(np.zeros_like(X), y, classes=[0, 1, 2], rng=rng)
    with pytest.raises(ValueError, match=r"finite"):
        model.fit(np.full_like(X, np.nan), y, classes=[0, 1, 2], rng=rng)
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator"):
        model.fit(X, y, classes=[0, 1, 2], rng=0)
    with pytest.raises(TypeError, match=r"budget must be a PrivacyBudget, got 0.5"):
        DPPrototypeMean(0.5, estimator="naive").fit(X, y, classes=[0, 1, 2], rng=rng)
    with pytest.raises(TypeError, match=r"ledger must be a PrivacyLedger or None"):
        DPPrototypeMean(BUDGET, estimator="naive", ledger=[]).fit(X, y, classes=[0, 1, 2], rng=rng)
    assert not hasattr(model, "prototypes_")
    assert not hasattr(model, "ledger_")
    with pytest.warns(ClassListWarning):
        model.fit(X, y, classes=None, rng=rng)
    with pytest.raises(ValueError, match=r"x must have the 8 dimensions of fit, got 3"):
        model.predict(X[:, :3])
    schedule = coinpress_schedule(10, 8, rho=1.0, radius=1.0)
    with pytest.raises(ValueError, match=r"X has 100 rows, but the schedule was made for another number"):
        coinpress_mean(X, schedule=schedule, rng=rng)
    with pytest.raises(ValueError, match=r"no candidate that works"):
        plan_mean(5, 8, budget=BUDGET, estimator="naive", clip_norm=None, radius=1.0, unit=1.0)


def test_empty_class_is_noise_where_it_was_asked_for(data):
    X, y = data
    model = DPPrototypeMean(BUDGET, estimator="naive", adjacency="add_remove", on_empty="accept")
    with pytest.warns(EmptyClassWarning, match="prototypes are noise"):
        model.fit(X, y, classes=[0, 1, 2, 9], rng=np.random.default_rng(0))
    assert model.prototypes_.shape == (4, 1, 8)


def test_global_random_state_and_inputs_stay_untouched(data):
    X, y = data
    before, state = X.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergingScheduleWarning)
        DPPrototypeMean(BUDGET, estimator="coinpress").fit(
            X, y, classes=[0, 1, 2], rng=np.random.default_rng(0)
        )
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
