"""Samples of the chapter's claims: what the claims file asks for, repeatable, with controls that are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trustlib.claims import load_claims
from trustlib.data import encode_table, load_table
from trustlib.pdp_op import ALAGGAN, Plan, Problem, evidence, gain_map

LAMBDAS = (0.1, 1.0, 10.0)


@pytest.fixture(scope="module")
def problem():
    design = encode_table(load_table("insurance_like", n=200, seed=0), intercept=True)
    return Problem(design.X, design.y, x_norm=design.row_norm_bound, y_bound=1.0, y_range=(0.0, 1.0))


@pytest.fixture(scope="module")
def plan():
    return Plan(ALAGGAN, LAMBDAS, n_splits=2, seed=0, n_draws=3)


@pytest.fixture(scope="module")
def gains(problem, plan):
    return gain_map(problem, plan, sizes=(0.5, 1.0))


@pytest.fixture(scope="module")
def found(problem, plan, gains):
    """Evidence by claim id; small but complete."""
    return {
        "pdp_op-1": evidence.guarantee(seed=0, n_releases=1000),
        "pdp_op-2": evidence.accuracy(problem, plan, n_releases=2000),
        "pdp_op-3": evidence.against_uniform(problem, plan, n_releases=2000),
        "pdp_op-4": evidence.against_sampling(problem, plan),
        "pdp_op-5": evidence.variability(problem, plan),
        "pdp_op-6": evidence.diversity(problem, plan, gains),
    }


CLAIMS = ["pdp_op-1", "pdp_op-2", "pdp_op-3", "pdp_op-4", "pdp_op-5", "pdp_op-6"]


@pytest.mark.parametrize("claim", CLAIMS)
def test_parts_and_controls_are_those_of_the_claims_file(found, claim):
    entry = load_claims()[claim]
    assert set(found[claim].parts) == {part.name for part in entry.parts}
    assert set(found[claim].controls) == {control.name for control in entry.controls}


@pytest.mark.parametrize("claim", CLAIMS[1:])
def test_there_is_one_finite_sample_per_split(found, claim):
    for name, values in {**found[claim].parts, **found[claim].controls}.items():
        assert values.shape == (2,), name
        assert np.isfinite(values).all(), name


def test_evidence_repeats_with_its_seed(problem, plan, found):
    again = evidence.accuracy(problem, plan, n_releases=2000)
    other = evidence.accuracy(problem, replace(plan, seed=1), n_releases=2000)
    for name, values in again.parts.items():
        np.testing.assert_array_equal(values, found["pdp_op-2"].parts[name])
    assert not np.array_equal(other.parts["excess_to_bound"], again.parts["excess_to_bound"])
    audits = [evidence.guarantee(seed=s, n_releases=200).parts["audit"] for s in (5, 5, 6)]
    np.testing.assert_array_equal(audits[0], audits[1])
    assert not np.array_equal(audits[0], audits[2])


def test_guarantee_holds_and_every_broken_mechanism_shows(found):
    one = found["pdp_op-1"]
    assert one.parts["loss_ratio"].shape == (len(evidence.SETTINGS),)
    assert one.parts["loss_ratio"].max() <= 1.0
    assert one.parts["audit"].shape == (4,)
    assert one.parts["audit"].max() <= 1.0
    for name, values in one.controls.items():
        assert values.max() > 1.0, name


def test_settings_span_what_the_claim_says():
    dims, levels, lambdas = (set(values) for values in zip(*evidence.SETTINGS, strict=True))
    assert dims == {1, 2, 3}
    assert (min(lambdas), max(lambdas)) == (0.01, 10.0)
    assert {len(level) for level in levels} == {2, 3}


def test_accuracy_meets_its_bound_and_slope(found):
    two = found["pdp_op-2"]
    assert two.parts["excess_to_bound"].max() < 1.0 < two.controls["noise_of_the_minimum"].min()
    # a mean of 3 x 2000 quadratic forms of the noise, d = 12: relative deviation of ||b||^2 is
    # sqrt((4 d + 6) / (d (d + 1))) = 0.59, the form adds less than as much again; 4 standard errors of 0.8 / sqrt(6000)
    assert np.abs(two.parts["simulated_to_exact"] - 1).max() < 4 * 0.8 / 6000**0.5
    # independent Laplace noise has variance 2 / eta^2 per coordinate instead of 13 / eta^2
    np.testing.assert_allclose(two.controls["coordinate_laplace"], 2 / 13, atol=0.02)
    np.testing.assert_allclose(two.parts["slope"], -2.0, atol=0.05)
    assert np.abs(two.controls["fixed_total"]).max() < 0.05


def test_uniform_noise_has_the_predicted_ratio(found):
    three = found["pdp_op-3"]
    # two means of 3 x 2000: as above, twice the variance
    assert np.abs(three.parts["ratio_to_prediction"] - 1).max() < 4 * 0.8 * (2 / 6000) ** 0.5
    assert three.controls["unsquared_prediction"].min() > 2
    assert three.parts["gain"].min() > 1
    np.testing.assert_allclose(three.controls["equal_epsilon"], 1.0)


def test_sampling_costs_noise_and_its_controls_do_not(found):
    four = found["pdp_op-4"]
    for name, values in four.parts.items():
        assert values.min() > 1.0, name
    np.testing.assert_allclose(four.controls["equal_epsilon"], 1.0)
    np.testing.assert_allclose(four.controls["equal_epsilon_loss"], 1.0)
    np.testing.assert_allclose(four.controls["two_point"], 1.0, rtol=0.01)
    np.testing.assert_allclose(four.controls["two_point_loss"], 1.0, rtol=0.01)


def test_variability_is_compared_with_controls_at_one(found):
    five = found["pdp_op-5"]
    assert five.parts["std_min"].min() > 1.0
    assert five.parts["std_avg"].min() > five.parts["std_max"].min() > 1.0
    for name, values in five.controls.items():
        np.testing.assert_allclose(values, 1.0, rtol=0.01, err_msg=name)


def test_gain_map_covers_shares_sizes_splits_and_lambdas(problem, plan, gains):
    assert gains.shape == (len(evidence.SHARES), 2, 2, len(LAMBDAS))
    assert (gains > 0.99).all()
    same = gain_map(problem, plan, sizes=(1.0,), change=lambda level: np.full(len(level), level.mean()))
    np.testing.assert_allclose(same, 1.0)
    # strong regularisation leaves a constant model: nothing to gain
    flat = gain_map(problem, replace(plan, lambdas=(1e6,)), sizes=(1.0,))
    np.testing.assert_allclose(flat, 1.0, atol=1e-3)


def test_advantage_grows_with_conservative_people(found):
    six = found["pdp_op-6"]
    assert six.parts["trend"].min() > 0
    assert np.abs(six.controls["equal_epsilon"]).max() < 1e-9
    assert np.abs(six.controls["huge_lambda"]).max() < 0.01
    assert six.controls["roles_swapped"].max() < 1.0


def test_effectiveness_is_relative_to_the_private_mean(problem, plan):
    own, _ = evidence.effectiveness(problem, replace(plan, lambdas=(0.1, 1.0, 1e6)))
    # 160 people cannot buy a useful model with the paper's bounds
    assert own.shape == (2,)
    assert own.min() > 1.0
    # a strong signal and 3200 people can: y = (x1 - x2) / 2 has variance 1/6
    X = np.random.default_rng(0).uniform(-1, 1, size=(4000, 2))
    strong = Problem(X, (X[:, 0] - X[:, 1]) / 2, x_norm=2**0.5, y_bound=1.0, y_range=(-1.0, 1.0))
    own, permuted = evidence.effectiveness(strong, replace(plan, lambdas=(0.1,), bounds="tight"))
    assert own.max() < 0.5
    # nothing to learn from permuted targets: 1 up to chance correlation, sqrt(2 features / 800 test rows) = 0.05
    assert permuted.min() > 0.95


def test_tight_bounds_keep_the_guarantee_and_a_quartered_one_does_not():
    found = evidence.tight_guarantee()
    assert found.parts["loss_ratio"].max() <= 1.0
    assert found.controls["quartered_sensitivity"].max() > 1.0


def test_a_grid_without_the_claims_lambda_is_refused(problem, plan):
    with pytest.raises(ValueError, match=r"lambda = 1\.0 is not in the grid"):
        evidence.against_sampling(problem, replace(plan, lambdas=(2.0,)))
