"""The guarantee itself: exhaustive small settings, planted faults, sampled audits, personal reports."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from trustlib.pdp_op import (
    audit_ridge,
    corner_losses,
    largest_step,
    noise_rate,
    personal_report,
    personal_weights,
    privacy_loss,
    removal_loss,
    ridge_sensitivity,
)

BOTH = pytest.mark.parametrize("bounds", ["paper", "tight"])
LEVELS = ([0.1, 1.0], [0.5, 0.5], [0.1, 0.5, 1.0])
LAMBDAS = (0.01, 0.1, 1.0, 10.0)


def worst(dim, bounds, fault="none", levels=LEVELS):
    return max(
        corner_losses(dim, e, lam, bounds=bounds, fault=fault).ratio
        for e, lam in itertools.product(levels, LAMBDAS)
    )


def test_loss_between_two_releases_by_hand():
    # 2 * ||(3, 4)||_2 = 10, and 2 * (3 + 4) = 14 for coordinate noise
    assert privacy_loss([0.0, 0.0], [3.0, 4.0], 2.0) == 10.0
    assert privacy_loss([0.0, 0.0], [3.0, 4.0], 2.0, noise="coordinate") == 14.0
    with pytest.raises(ValueError, match=r"noise must be .* got 'gaussian'"):
        privacy_loss([0.0], [1.0], 1.0, noise="gaussian")


def test_loss_is_the_supremum_of_the_log_density_ratio():
    rng = np.random.default_rng(0)
    one, two, rate = np.array([0.3, -0.1]), np.array([-0.2, 0.4]), 1.7
    z = rng.normal(scale=3, size=(20_000, 2))
    ratio = rate * (np.linalg.norm(z - two, axis=1) - np.linalg.norm(z - one, axis=1))
    supremum = privacy_loss(one, two, rate)
    assert np.abs(ratio).max() <= supremum
    # attained beyond the centres on their line
    far = one + 3 * (one - two)
    assert rate * (np.linalg.norm(far - two) - np.linalg.norm(far - one)) == pytest.approx(supremum)


@BOTH
def test_corner_losses_equal_a_plain_search(bounds):
    epsilon, lam = np.array([0.2, 0.8]), 0.5
    records = [(x, y) for x in (0.0, 1.0) for y in (-1.0, 1.0)]
    rate = noise_rate(epsilon, lam, x_norm=1.0, y_bound=1.0, bounds=bounds)
    w = epsilon / 1.0

    def minimiser(table):
        return sum(w[i] * x * y for i, (x, y) in enumerate(table)) / (
            sum(w[i] * x * x for i, (x, y) in enumerate(table)) + lam
        )

    losses = np.zeros(2)
    for table in itertools.product(records, repeat=2):
        for person, record in itertools.product(range(2), records):
            changed = list(table)
            changed[person] = record
            losses[person] = max(losses[person], rate * abs(minimiser(table) - minimiser(changed)))
    found = corner_losses(1, epsilon, lam, bounds=bounds)
    np.testing.assert_allclose(found.loss, losses)
    assert found.tables == 16
    assert found.ratio == pytest.approx(max(losses / epsilon))


@BOTH
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_nobody_loses_more_than_their_level(dim, bounds):
    assert worst(dim, bounds) <= 1.0
    # five people where the tables can be enumerated
    if dim == 1:
        assert worst(dim, bounds, levels=([0.01, 0.2, 0.5, 1.0, 3.0],)) <= 1.0


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_tight_bounds_spend_more_of_the_promise(dim):
    assert worst(dim, "paper") < worst(dim, "tight") <= 1.0
    # one person, lam much below R^2: the tight bound is sharp, since records with x = sqrt(lam) reach +-B
    assert corner_losses(1, [0.7], 1.0, bounds="tight").ratio == pytest.approx(1.0)


def test_sensitivity_holds_inside_the_cube_as_well():
    # random records, not only corners; the same person exchanged
    rng = np.random.default_rng(0)
    for _ in range(300):
        n, d, lam = rng.integers(1, 5), rng.integers(1, 4), 10 ** rng.uniform(-2, 1)
        level = rng.uniform(0.05, 1.0, n)
        w = personal_weights(level)
        X, y = rng.uniform(size=(n, d)), rng.uniform(-1, 1, n)
        other, label = X.copy(), y.copy()
        other[0], label[0] = rng.uniform(size=d), rng.uniform(-1, 1)
        ends = [
            np.linalg.solve(a.T * w @ a + lam * np.eye(d), a.T @ (w * b)) for a, b in ((X, y), (other, label))
        ]
        for bounds in ("paper", "tight"):
            limit = ridge_sensitivity(w, lam, x_norm=d**0.5, y_bound=1.0, bounds=bounds)[0]
            assert np.linalg.norm(ends[0] - ends[1]) <= limit


@BOTH
@pytest.mark.parametrize(
    "fault",
    [
        "uniform_weights",
        "coordinate_laplace",
        "labels_out_of_range",
        "features_out_of_range",
        "quartered_sensitivity",
        "undersized_noise",
    ],
)
def test_every_planted_fault_is_found(fault, bounds):
    # independent Laplace noise per coordinate is right in one dimension and wrong from two on
    dims = (2, 3) if fault == "coordinate_laplace" else (1, 2)
    assert max(worst(dim, bounds, fault) for dim in dims) > 1.0
    if fault == "coordinate_laplace":
        assert worst(1, bounds, fault) == worst(1, bounds)


def test_exhaustive_search_refuses_what_it_cannot_finish():
    with pytest.raises(ValueError, match=r"16\^5 tables are too many to enumerate"):
        corner_losses(3, [1.0] * 5, 1.0, bounds="paper")
    with pytest.raises(ValueError, match=r"fault must be one of none, .* got 'typo'"):
        corner_losses(1, [1.0], 1.0, bounds="paper", fault="typo")
    with pytest.raises(ValueError, match="epsilon must be finite and > 0"):
        corner_losses(1, [0.0], 1.0, bounds="paper")
    with pytest.raises(ValueError, match="dim must be at least 1 feature, got 0"):
        corner_losses(0, [1.0], 1.0, bounds="paper")


def test_used_share_of_the_sensitivity_matches_the_search():
    for bounds in ("paper", "tight"):
        shares = [largest_step(2, [0.3, 0.9], lam, bounds=bounds) for lam in LAMBDAS]
        assert 0 < min(shares) <= max(shares) <= 1.0
    # lam large: theta = w y x / (w R^2 + lam) ~ w y x / lam, so exchanging y for -y uses 2 w R Y / lam of
    # 2 w R (Y + R B) / lam, and B -> 0
    assert largest_step(1, [0.5, 0.5], 1e4, bounds="paper") == pytest.approx(1.0, abs=1e-3)


# -------------------------------------------------------------------------------------------------------- removal


def test_removal_by_hand():
    # d = 1, lam = 1: eta = sum(eps) / 4 = 1/2, without person 1 eta' = 1/4; |ln 2 - distance / 4|
    found = removal_loss([1.0, 1.0], 1.0, dim=1, distance=100.0)
    np.testing.assert_allclose(found, 25.0 - np.log(2.0))


def test_removal_is_the_log_ratio_of_the_densities():
    # a table of zeros: both minimisers are 0, densities eta / 2 exp(-eta |z|)
    level, lam, z = np.array([0.4, 1.1, 0.2]), 0.7, 37.0
    public = {"x_norm": 1.0, "y_bound": 1.0, "bounds": "paper"}
    found = removal_loss(level, lam, dim=1, distance=z)
    for person in range(3):
        rates = [noise_rate(e, lam, **public) for e in (level, np.delete(level, person))]
        logs = [np.log(rate / 2) - rate * z for rate in rates]
        assert found[person] == pytest.approx(abs(logs[0] - logs[1]))


def test_removal_has_no_bound():
    losses = [removal_loss([0.1, 1.0], 1.0, dim=2, distance=r).max() for r in (1e2, 1e4, 1e6)]
    assert losses[0] < losses[1] < losses[2]
    assert losses[2] > 1e4
    with pytest.raises(ValueError, match="at least two people, got 1"):
        removal_loss([1.0], 1.0, dim=1, distance=1.0)


# ---------------------------------------------------------------------------------------------------------- audit


@BOTH
@pytest.mark.parametrize("dim", [1, 2])
def test_audit_stays_below_the_exact_loss_and_the_level(dim, bounds):
    # in one dimension the log ratio is flat outside the centres: unrounded releases would give themselves away
    found = audit_ridge(
        [0.5, 1.0, 2.0],
        10.0,
        dim=dim,
        bounds=bounds,
        people=range(3),
        n_releases=4000,
        confidence=0.999,
        rng=np.random.default_rng(1),
    )
    assert list(found.columns) == ["person", "epsilon", "exact", "lower_bound", "ratio"]
    assert (found["lower_bound"] <= found["exact"]).all()
    assert (found["exact"] <= found["epsilon"]).all()
    np.testing.assert_allclose(found["ratio"], found["lower_bound"] / found["epsilon"])
    # and it is not blind: most of the largest loss is found
    assert found["lower_bound"].iloc[2] > 0.5 * found["exact"].iloc[2]


def test_exact_loss_of_the_audited_pair_by_hand():
    # one person, d = 1, lam = 1: minimisers +-1/2; paper eta = 1 * 1 / (2 * 2) = 1/4; loss 1/4
    found = audit_ridge(
        [1.0],
        1.0,
        dim=1,
        bounds="paper",
        people=[0],
        n_releases=100,
        confidence=0.9,
        rng=np.random.default_rng(0),
    )
    assert found["exact"].item() == pytest.approx(0.25)


def test_audit_finds_noise_that_is_too_small():
    options = {"dim": 2, "bounds": "paper", "people": [0, 1], "n_releases": 2000, "confidence": 0.999}
    found = audit_ridge([0.5, 1.0], 1.0, **options, rng=np.random.default_rng(2), fault="undersized_noise")
    assert (found["ratio"] > 1).all()


def test_audit_repeats_with_its_seed_and_refuses_nobody():
    options = {"dim": 1, "bounds": "tight", "n_releases": 200, "confidence": 0.9}
    one, two = (
        audit_ridge([1.0], 1.0, **options, people=[0], rng=np.random.default_rng(3)) for _ in range(2)
    )
    assert one.equals(two)
    with pytest.raises(ValueError, match="people must name at least one record"):
        audit_ridge([1.0], 1.0, **options, people=[], rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"people must be row numbers from 0 to 0, got 1"):
        audit_ridge([1.0], 1.0, **options, people=[1], rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="confidence"):
        audit_ridge([1.0], 1.0, **{**options, "confidence": 1.5}, people=[0], rng=np.random.default_rng(0))


# --------------------------------------------------------------------------------------------------------- report


def test_report_by_hand():
    # weights 1/4, 3/4; lam = 1; theta = 1/4 / (1/4 + 1) = 1/5 from person 1 alone, 0 without them
    report = personal_report(
        [[1.0], [0.0]], [1.0, 0.0], [0.5, 1.5], 1.0, x_norm=1.0, y_bound=1.0, bounds="paper"
    )
    assert report["weight"].tolist() == [0.25, 0.75]
    # eta = 2 / 4 = 1/2: 1/2 * 1/5, and person 2 is zero already
    np.testing.assert_allclose(report["realised"], [0.1, 0.0])
    np.testing.assert_allclose(report["worst_case"], [0.5, 1.5])
    np.testing.assert_allclose(report["sensitivity"], [1.0, 3.0])


@BOTH
def test_report_equals_refitting_without_each_person(bounds):
    rng = np.random.default_rng(0)
    n, d, lam = 12, 3, 0.2
    X, y, level = rng.uniform(size=(n, d)), rng.uniform(-1, 1, n), rng.uniform(0.1, 1, n)
    public = {"x_norm": d**0.5, "y_bound": 1.0, "bounds": bounds}
    report = personal_report(X, y, level, lam, **public)
    rate, w = noise_rate(level, lam, **public), personal_weights(level)

    def fit(features, target):
        return np.linalg.solve(features.T * w @ features + lam * np.eye(d), features.T @ (w * target))

    for person in range(n):
        features, target = X.copy(), y.copy()
        features[person], target[person] = 0.0, 0.0
        step = np.linalg.norm(fit(X, y) - fit(features, target))
        assert report["realised"][person] == pytest.approx(rate * step)
    assert (report["realised"] <= report["worst_case"]).all()
    assert (report["worst_case"] <= report["epsilon"] * (1 + 1e-12)).all()


def test_report_refuses_tables_without_a_guarantee():
    with pytest.raises(ValueError, match="one level for each of the 2 records"):
        personal_report([[1.0], [0.0]], [1.0, 0.0], [1.0], 1.0, x_norm=1.0, y_bound=1.0, bounds="paper")
    with pytest.raises(ValueError, match="1 of 2 rows have a norm above x_norm = 1"):
        personal_report([[2.0], [0.0]], [1.0, 0.0], 1.0, 1.0, x_norm=1.0, y_bound=1.0, bounds="paper")
    with pytest.raises(ValueError, match=r"X must be \(n, d\) and y \(n,\), got \(2,\) and \(2,\)"):
        personal_report([1.0, 0.0], [1.0, 0.0], 1.0, 1.0, x_norm=1.0, y_bound=1.0, bounds="paper")
