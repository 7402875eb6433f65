"""Comparisons over splits and draws: shapes, seeds, oracles, controls, and the published table."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from trustlib.data import encode_table, load_table
from trustlib.pdp_op import (
    ALAGGAN,
    INSURANCE_LOSSES,
    LABELS,
    METHODS,
    PersonalizedRidge,
    Plan,
    Problem,
    UniformDPRidge,
    best_lambda,
    compare,
    equal_levels,
    loss_moments,
    method_losses,
    noise_rate,
    null_losses,
    null_values,
    published_comparison,
    simulation_error,
    summarise,
    trials,
    two_point_levels,
    with_preferences,
)
from trustlib.pdp_op.comparison import Trial
from trustlib.pdp_op.normal_equations import normal_equations


@pytest.fixture(scope="module")
def problem():
    design = encode_table(load_table("insurance_like", n=200, seed=0), intercept=True)
    return Problem(design.X, design.y, x_norm=design.row_norm_bound, y_bound=1.0, y_range=(0.0, 1.0))


def plan(**options):
    return Plan(
        **{"preferences": ALAGGAN, "lambdas": (0.1, 1.0), "n_splits": 2, "seed": 0, "n_draws": 3, **options}
    )


# --------------------------------------------------------------------------------------------------------- trials


def test_trials_split_the_rows_and_deal_out_levels(problem):
    found = list(trials(problem, plan()))
    assert [(t.split, t.draw) for t in found] == [(s, d) for s in range(2) for d in range(3)]
    for trial in found:
        assert trial.X.shape == (160, problem.dim)
        assert (trial.test.rows, trial.epsilon.shape) == (40, (160,))
        # every row is either trained on or tested: the second moments add up to those of the table
        whole = problem.X.T @ problem.X
        np.testing.assert_allclose(trial.X.T @ trial.X + 40 * trial.test.gram, whole)
        assert 40 * trial.test_mean + trial.y.sum() == pytest.approx(problem.y.sum())
    # one split for all draws, other levels in each
    np.testing.assert_array_equal(found[0].X, found[1].X)
    assert not np.array_equal(found[0].X, found[3].X)
    assert not np.array_equal(found[0].epsilon, found[1].epsilon)


def test_trials_do_not_depend_on_how_many_there_are(problem):
    few, many = list(trials(problem, plan())), list(trials(problem, plan(n_splits=3, n_draws=4)))
    np.testing.assert_array_equal(few[3].epsilon, many[4].epsilon)
    np.testing.assert_array_equal(few[3].y, many[4].y)


def test_fewer_training_rows_keep_the_test_rows(problem):
    small, large = next(trials(problem, plan(n_train=50))), next(trials(problem, plan()))
    assert small.X.shape == (50, problem.dim)
    np.testing.assert_array_equal(small.X, large.X[:50])
    np.testing.assert_array_equal(small.test.gram, large.test.gram)
    with pytest.raises(ValueError, match=r"n_train must lie in \[1, 160\] for 200 rows, got 161"):
        next(trials(problem, plan(n_train=161)))


def test_permuted_targets_are_the_same_targets(problem):
    true, dealt = next(trials(problem, plan())), next(trials(problem, plan(), permute=True))
    assert not np.array_equal(true.y, dealt.y)
    np.testing.assert_array_equal(np.sort(true.y), np.sort(dealt.y))


def test_changed_levels_by_hand(problem):
    np.testing.assert_allclose(equal_levels(np.array([0.1, 0.3])), [0.2, 0.2])
    # median 0.3: 0.6 is above it and becomes the largest, 0.1 and 0.3 a millionth
    np.testing.assert_allclose(two_point_levels(np.array([0.1, 0.3, 0.6])), [6e-7, 6e-7, 0.6])
    np.testing.assert_allclose(two_point_levels(np.array([0.5, 0.5])), [0.5, 0.5])
    trial = next(trials(problem, plan(), change=equal_levels))
    assert np.ptp(trial.epsilon) == 0.0
    shifted = with_preferences(plan(), conservative=0.1)
    assert (shifted.preferences.conservative, plan().preferences.conservative) == (0.1, 0.34)


# --------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("bounds", ["paper", "tight"])
def test_losses_equal_those_of_the_estimators(problem, bounds):
    settings = plan(bounds=bounds)
    trial = next(trials(problem, settings))
    rng = np.random.default_rng([0, 0])
    rows = rng.permutation(200)[:40]
    X, y = problem.X[rows], problem.y[rows]
    for method, kind in (("pdp_op", PersonalizedRidge), ("uniform_min", UniformDPRidge)):
        found = method_losses(method, trial, problem, settings)
        for k, lam in enumerate(settings.lambdas):
            model = kind(lam, x_norm=problem.x_norm, y_bound=1.0, bounds=bounds, random_state=0)
            model.fit(trial.X, trial.y, epsilon=trial.epsilon)
            assert found.mean[k] == pytest.approx(model.expected_mse(X, y))
            assert found.std[k] == pytest.approx(model.mse_std(X, y))


def test_penalised_loss_adds_the_expected_norm(problem):
    trial, settings = next(trials(problem, plan())), plan()
    plain = method_losses("pdp_op", trial, problem, settings)
    penalised = method_losses("pdp_op", trial, problem, settings, penalised=True)
    data = normal_equations(trial.X, trial.y, trial.epsilon / trial.epsilon.sum())
    d = problem.dim
    for k, lam in enumerate(settings.lambdas):
        eta = noise_rate(trial.epsilon, lam, x_norm=problem.x_norm, y_bound=1.0, bounds="paper")
        # lam (||theta||^2 + d (d + 1) / eta^2)
        extra = lam * (np.sum(data.solve(lam) ** 2) + d * (d + 1) / eta**2)
        assert penalised.mean[k] - plain.mean[k] == pytest.approx(extra)


def test_sampling_at_the_threshold_of_everybody_is_the_uniform_method(problem):
    settings = plan()
    trial = next(trials(problem, settings, change=equal_levels))
    own = method_losses("uniform_min", trial, problem, settings)
    for method in ("pdp_op", "sample_max", "sample_mean", "repaired_max", "repaired_mean"):
        found = method_losses(method, trial, problem, settings)
        np.testing.assert_allclose(found.mean, own.mean)
        np.testing.assert_allclose(found.std, own.std)


@pytest.mark.parametrize(("variant", "word"), [("sample", "max"), ("sample", "mean"), ("repaired", "max")])
def test_sampled_losses_follow_the_law_of_total_variance(problem, variant, word):
    settings = plan(lambdas=(3.0,), n_kept=5)
    trial, again = (next(trials(problem, settings)) for _ in range(2))
    found = method_losses(f"{variant}_{word}", trial, problem, settings)
    threshold = trial.epsilon.max() if word == "max" else trial.epsilon.mean()
    chance = np.minimum(np.expm1(trial.epsilon) / np.expm1(threshold), 1.0)
    means, variances = [], []
    for _ in range(5):
        kept = again.rng.random(160) < chance
        size = 160 if variant == "repaired" else kept.sum()
        theta = np.linalg.solve(
            trial.X[kept].T @ trial.X[kept] / size + 3.0 * np.eye(problem.dim),
            trial.X[kept].T @ trial.y[kept] / size,
        )
        rate = noise_rate(np.full(size, threshold), 3.0, x_norm=problem.x_norm, y_bound=1.0, bounds="paper")
        one = loss_moments(theta[None], [rate], trial.test)
        means.append(one.mean[0])
        variances.append(one.std[0] ** 2)
    assert found.mean[0] == pytest.approx(np.mean(means))
    # the mean of the variances and the variance of the means, which is not negligible here
    assert found.std[0] ** 2 == pytest.approx(np.mean(variances) + np.var(means), rel=1e-9)
    assert np.var(means) > 1e-6 * np.mean(variances)


def test_no_privacy_means_no_noise_and_the_least_loss(problem):
    frame = compare(problem, plan(), methods=("pdp_op", "nonprivate"))
    quiet = frame[frame["method"] == "nonprivate"]
    assert (quiet["noise"] == 0).all()
    assert (quiet["std"] == 0).all()
    assert (quiet["mean"].to_numpy() < frame[frame["method"] == "pdp_op"]["mean"].to_numpy()).all()


def test_comparison_has_one_row_per_cell_and_repeats(problem):
    frame = compare(problem, plan())
    assert list(frame.columns) == ["split", "draw", "method", "lam", "mean", "std", "noise"]
    assert len(frame) == 2 * 3 * 4 * 2
    assert set(frame["method"]) == set(METHODS) <= set(LABELS)
    assert frame.equals(compare(problem, plan()))
    assert not frame["mean"].equals(compare(problem, plan(seed=1))["mean"])
    assert ((frame["noise"] >= 0) & (frame["std"] > 0) & (frame["mean"] > frame["noise"])).all()


def test_progress_sees_every_trial(problem):
    seen = []

    def watch(source, total):
        assert total == 6
        for trial in source:
            seen.append(trial.draw)
            yield trial

    compare(problem, plan(), methods=("pdp_op",), progress=watch)
    assert seen == [0, 1, 2] * 2


def test_simulation_converges_to_the_exact_loss(problem):
    found = simulation_error(problem, plan(), lam=1.0, sizes=(100, 10_000), repeats=20)
    spread = found.groupby("releases")["error"].std()
    # one hundred times as many releases: a tenth of the error, itself known to 1 / sqrt(2 * 19) each; 4 of them
    assert abs(math.log(spread[100] / spread[10_000] / 10)) < 4 * (2 / 38) ** 0.5
    large = found[found["releases"] == 10_000]["error"]
    assert abs(large.mean()) < 4 * large.std() / 20**0.5
    with pytest.raises(ValueError, match=r"lambda = 2.0 is not in the grid \(0.1, 1.0\)"):
        simulation_error(problem, plan(), lam=2.0, sizes=(10,), repeats=1)


# ---------------------------------------------------------------------------------------------------------- nulls


def test_null_values_by_hand():
    # test targets 0 and 1; training targets 1, 0, 0 with levels 2, 1, 1: mean 1/3, private mean 1/2, scale 1/4
    small = Problem(np.ones((2, 1)), np.array([0.0, 1.0]), x_norm=1.0, y_bound=1.0, y_range=(0.0, 1.0))
    test = normal_equations(small.X, small.y)
    level = np.array([2.0, 1.0, 1.0])
    trial = Trial(
        0, 0, np.ones((3, 1)), np.array([1.0, 0.0, 0.0]), test, 0.5, level, np.random.default_rng(0)
    )
    found = null_values(trial, small)
    assert found["zero"] == pytest.approx(0.5)
    # (1/9 + 4/9) / 2
    assert found["mean"] == pytest.approx(5 / 18)
    # 1/4 + 2 / 16
    assert found["private_mean"] == pytest.approx(0.375)


def test_null_losses_have_one_row_per_cell(problem):
    frame = null_losses(problem, plan())
    assert len(frame) == 2 * 3 * 3
    means = frame.groupby("method")["mean"].mean()
    assert means["mean"] < means["zero"]
    assert means["mean"] <= means["private_mean"] * 1.05


# ------------------------------------------------------------------------------------------------------ summaries


def test_summary_is_the_t_interval_over_splits(problem):
    frame = compare(problem, plan(n_splits=4), methods=("pdp_op",))
    found = summarise(frame, confidence=0.9)
    cell = frame[frame["lam"] == 1.0].groupby("split")["mean"].mean().to_numpy()
    row = found[found["lam"] == 1.0].iloc[0]
    low, high = stats.t.interval(0.9, 3, loc=cell.mean(), scale=cell.std(ddof=1) / 2)
    assert (row["centre"], row["low"], row["high"]) == pytest.approx((cell.mean(), low, high))
    assert list(found.columns) == ["method", "lam", "centre", "low", "high"]
    nulls = summarise(null_losses(problem, plan(n_splits=4)))
    assert list(nulls["method"]) == ["mean", "private_mean", "zero"]


def test_best_lambda_is_the_smallest_centre(problem):
    summary = summarise(compare(problem, plan(lambdas=(0.1, 1.0, 10.0, 100.0))))
    best = best_lambda(summary).set_index("method")
    for method, group in summary.groupby("method"):
        assert best.loc[method, "centre"] == group["centre"].min()
    # more noise, more regularisation
    assert best.loc["uniform_min", "lam"] >= best.loc["pdp_op", "lam"]


# ----------------------------------------------------------------------------------------------------- refusals


def test_bad_plans_are_refused():
    for name in ("n_splits", "n_draws", "n_kept"):
        for bad in (0, 2.5):
            with pytest.raises(ValueError, match=f"{name} must be a whole number >= 1, got {bad}"):
                plan(**{name: bad})
    with pytest.raises(ValueError, match=r"test_share must lie in \(0, 1\), got 1"):
        plan(test_share=1)
    for bad in ((), (1.0, 0.0), (math.nan,), (math.inf,)):
        with pytest.raises(ValueError, match="lambdas must hold finite numbers > 0"):
            plan(lambdas=bad)
    with pytest.raises(ValueError, match="bounds must be one of"):
        plan(bounds="foo")


def test_bad_problems_are_refused():
    good = {"x_norm": 1.0, "y_bound": 1.0, "y_range": (0.0, 1.0)}
    with pytest.raises(
        ValueError, match=r"X must be \(n, d\) and y \(n,\) with n >= 1, got \(2,\) and \(2,\)"
    ):
        Problem(np.ones(2), np.ones(2), **good)
    with pytest.raises(ValueError, match=r"leaves its public domain \(x_norm = 1, y_bound = 1\)"):
        Problem(np.full((2, 1), 1.1), np.ones(2), **good)
    with pytest.raises(ValueError, match="leaves its public domain"):
        Problem(np.ones((2, 1)), np.full(2, -1.1), **good)
    with pytest.raises(ValueError, match="leaves its public domain"):
        Problem(np.full((2, 1), np.nan), np.ones(2), **good)
    tensors = Problem(torch.ones(3, 1), torch.ones(3), **good)
    assert isinstance(tensors.X, np.ndarray)


def test_unknown_methods_and_columns_are_refused(problem):
    for bad in ("pdp", "sample_min", "sample"):
        with pytest.raises(ValueError, match="method must be one of pdp_op, sample_max"):
            compare(problem, plan(), methods=(bad,))
    with pytest.raises(ValueError, match="value must be a column of the frame"):
        summarise(null_losses(problem, plan()), value="loss")


# ------------------------------------------------------------------------------------------------------ published


@pytest.mark.realdata
def test_published_losses_are_reproduced(real_data):
    design = encode_table(load_table("insurance"), one_hot="full", intercept=True, ranges="observed")
    paper = Problem(design.X, design.y, x_norm=math.sqrt(12), y_bound=1.0, y_range=(0.0, 1.0))
    found = published_comparison(paper, plan(n_splits=5, n_draws=4))
    assert len(found) == 3 * len(INSURANCE_LOSSES)
    assert found["difference"].abs().max() < 0.05
    # control: another population is not that table
    other = published_comparison(paper, with_preferences(plan(), conservative=0.1))
    assert other["difference"].abs().max() > 0.2


def test_published_protocol_has_every_cell(problem):
    found = published_comparison(problem, replace(plan(), n_splits=1, n_draws=1))
    assert list(found["method"].unique()) == ["pdp_op", "sample_max", "sample_mean"]
    assert found["spread"].isna().all()
    np.testing.assert_allclose(found["difference"], found["ours"] / found["published"] - 1)
