"""The Sample mechanism: what the repaired variant proves, and what the published one does not."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from trustlib.pdp_op import PersonalizedRidge, SampleDPRidge, keep_probabilities, noise_rate
from trustlib.privacy import PrivacyLedger

UNIT = {"x_norm": 1.0, "y_bound": 1.0}
RECORDS = [np.array(r) for r in itertools.product([-1.0, 0.0, 1.0], [-1.0, 1.0])]


def log_density(z, table, epsilon, threshold, lam, bounds, base):
    """Log density of a release in one dimension: the sum over all sets of kept people, written from the definition.

    ``base(kept)`` is the number by which the variant divides and from which it sets its noise.
    """
    keep = [1.0 if e >= threshold else math.expm1(e) / math.expm1(threshold) for e in epsilon]
    total = np.zeros_like(z)
    for chosen in itertools.product([False, True], repeat=len(epsilon)):
        chance = math.prod(p if c else 1 - p for p, c in zip(keep, chosen, strict=True))
        if chance == 0:
            continue
        size = base(sum(chosen))
        kept = [record for record, c in zip(table, chosen, strict=True) if c]
        second = sum(x * x for x, _ in kept) / size
        first = sum(x * y for x, y in kept) / size
        rate = noise_rate([threshold] * size, lam, **UNIT, bounds=bounds)
        total += chance * rate / 2 * np.exp(-rate * np.abs(z - first / (second + lam)))
    return np.log(total)


def worst_losses(epsilon, threshold, lam, bounds, base):
    """Largest absolute log ratio for each of two people over all exchanges and a grid of releases."""
    z = np.linspace(-6, 6, 2401)
    densities = {
        (i, j): log_density(z, (RECORDS[i], RECORDS[j]), epsilon, threshold, lam, bounds, base)
        for i, j in itertools.product(range(len(RECORDS)), repeat=2)
    }
    first = second = 0.0
    for i, j, k in itertools.product(range(len(RECORDS)), repeat=3):
        first = max(first, np.abs(densities[i, k] - densities[j, k]).max())
        second = max(second, np.abs(densities[k, i] - densities[k, j]).max())
    return first, second


@pytest.mark.parametrize("bounds", ["paper", "tight"])
@pytest.mark.parametrize("lam", [0.3, 10.0])
@pytest.mark.parametrize("threshold", [1.0, 0.65])
def test_repaired_variant_gives_everybody_their_level(bounds, lam, threshold):
    epsilon = (1.0, 0.3)
    found = worst_losses(epsilon, threshold, lam, bounds, base=lambda kept: 2)
    for loss, level in zip(found, epsilon, strict=True):
        assert loss <= min(level, threshold) * (1 + 1e-9)


def test_exact_check_sees_people_who_are_kept_too_often():
    # planted: person 2 declares 0.9, is kept and counted as such, and wants 0.3
    found = worst_losses((1.0, 0.9), 1.0, 10.0, "tight", base=lambda kept: 2)
    assert found[1] > 0.3


@pytest.mark.parametrize("variant", ["repaired", "published"])
def test_releases_follow_the_mixture(variant):
    epsilon, table, lam = (1.0, 0.6), (RECORDS[1], RECORDS[4]), 0.5
    model = SampleDPRidge(lam, **UNIT, variant=variant, random_state=np.random.default_rng(0))
    X, y = np.array([[r[0]] for r in table]), np.array([r[1] for r in table])
    draws = 1500
    drawn = []
    for _ in range(draws):
        model.__dict__.pop("ledger_", None)
        drawn.append(model.fit(X, y, epsilon=epsilon).coef_.item())
    z = np.linspace(-40, 40, 80_001)
    base = (lambda kept: 2) if variant == "repaired" else (lambda kept: kept)
    density = np.exp(log_density(z, table, epsilon, 1.0, lam, "tight", base))
    assert density.sum() * 1e-3 == pytest.approx(1.0, abs=1e-3)
    expected = np.interp(np.sort(drawn), z, np.cumsum(density) * 1e-3)
    # Kolmogorov-Smirnov: exceeded with probability 2 exp(-2 * 1.95^2) = 0.001
    assert np.abs(expected - (np.arange(draws) + 0.5) / draws).max() < 1.95 / draws**0.5


def test_published_variant_breaks_the_promise_to_a_strict_person():
    # n = 2, d = 30, lam = 3e4, levels (1, 0.01): the number of kept people decides the noise, so a release close to
    # the centre says that person 2 was kept, and then protects them at t = 1 only.
    dim, lam, epsilon = 30, 3e4, np.array([1.0, 0.01])
    keep = keep_probabilities(epsilon, 1.0)[1]
    # Person 1 is all zeros, person 2 is (1, .., 1) with label +1 or -1; alone, person 1 gives the minimiser 0.
    centre = 0.5 * np.ones(dim) / (0.5 * dim + lam)
    release = centre * (1 + 1e-6)

    def log_mixture(label, base):
        public = {"x_norm": dim**0.5, "y_bound": 1.0, "bounds": "paper"}
        rates = [noise_rate(np.ones(base(kept)), lam, **public) for kept in (1, 2)]
        away = [np.linalg.norm(release), np.linalg.norm(release - label * centre)]
        logs = [dim * math.log(rate) - rate * step for rate, step in zip(rates, away, strict=True)]
        return np.logaddexp(math.log1p(-keep) + logs[0], math.log(keep) + logs[1])

    published = abs(log_mixture(1.0, lambda kept: kept) - log_mixture(-1.0, lambda kept: kept))
    repaired = abs(log_mixture(1.0, lambda kept: 2) - log_mixture(-1.0, lambda kept: 2))
    assert published == pytest.approx(0.998, abs=1e-3)
    assert repaired <= 0.01


def test_nobody_is_left_out_at_equal_levels():
    rng = np.random.default_rng(0)
    X, y = rng.uniform(0, 0.5, (10, 2)), rng.uniform(-1, 1, 10)
    for variant in ("repaired", "published"):
        sampled = SampleDPRidge(1.0, **UNIT, variant=variant, random_state=0).fit(X, y, epsilon=0.5)
        assert sampled.kept_ == 10
        plain = PersonalizedRidge(1.0, **UNIT, random_state=0).fit(X, y, epsilon=0.5)
        assert sampled.noise_rate_ == pytest.approx(plain.noise_rate_)
        # without noise both are the same minimiser
        assert sampled.expected_mse(X, y) == pytest.approx(plain.expected_mse(X, y))


def test_kept_people_by_hand():
    # the strict person is kept with probability (e^eps - 1) / (e^t - 1) ~ 0: what is left is the other one
    X, y = np.array([[1.0], [1.0]]), np.array([1.0, -1.0])
    options = {**UNIT, "random_state": 0}
    model = SampleDPRidge(1.0, variant="published", **options).fit(X, y, epsilon=[1e-12, 300.0])
    assert model.kept_ == 1
    # weight 1: -1 / (1 + 1) plus noise; noise-free loss of -1/2 on itself is 1/4
    quiet = model.expected_mse(X[1:], y[1:]) - 2 / model.noise_rate_**2
    assert quiet == pytest.approx(0.25)
    # repaired: weight 1/2 although one person is left: -0.5 / (0.5 + 1) = -1/3, loss (2/3)^2
    model = SampleDPRidge(1.0, variant="repaired", **options).fit(X, y, epsilon=[1e-12, 300.0])
    assert model.expected_mse(X[1:], y[1:]) - 2 / model.noise_rate_**2 == pytest.approx(4 / 9)


@pytest.mark.parametrize(
    ("threshold", "spent"), [("max", [0.2, 1.0]), ("mean", [0.2, 0.6]), (0.1, [0.1, 0.1])]
)
def test_everybody_is_charged_at_most_the_threshold(threshold, spent):
    model = SampleDPRidge(1.0, threshold=threshold, **UNIT, random_state=0)
    model.fit([[0.5], [0.5]], [0.0, 1.0], epsilon=[0.2, 1.0])
    np.testing.assert_allclose(model.privacy_spent_, spent)
    assert model.privacy_proven_


def test_published_variant_claims_no_privacy():
    model = SampleDPRidge(1.0, variant="published", **UNIT, random_state=0)
    model.fit([[0.5], [0.5]], [0.0, 1.0], epsilon=[1.0, 1.0])
    assert not model.privacy_proven_
    np.testing.assert_array_equal(model.privacy_spent_, [np.inf, np.inf])
    # and a proven release afterwards does not restore it
    model.set_params(variant="repaired").fit([[0.5], [0.5]], [0.0, 1.0], epsilon=[1.0, 1.0])
    np.testing.assert_array_equal(model.privacy_spent_, [np.inf, np.inf])


def test_an_unproven_release_does_not_enter_a_ledger():
    ledger = PrivacyLedger("substitution", unit="one person")
    model = SampleDPRidge(1.0, variant="published", **UNIT, ledger=ledger, random_state=0)
    with pytest.raises(ValueError, match="no guarantee that could stand in a ledger"):
        model.fit([[0.5], [0.5]], [0.0, 1.0], epsilon=[1.0, 1.0])


def test_bad_choices_are_refused():
    X, y = [[0.5], [0.5]], [0.0, 1.0]
    with pytest.raises(ValueError, match='variant must be "repaired" or "published", got \'fixed\''):
        SampleDPRidge(1.0, variant="fixed", **UNIT).fit(X, y, epsilon=1.0)
    with pytest.raises(ValueError, match='threshold must be "max", "mean" or a level > 0, got \'min\''):
        SampleDPRidge(1.0, threshold="min", **UNIT).fit(X, y, epsilon=1.0)
    with pytest.raises(ValueError, match="threshold must be a finite number > 0, got 0"):
        SampleDPRidge(1.0, threshold=0, **UNIT).fit(X, y, epsilon=1.0)
    with pytest.raises(ValueError, match="nobody of 2 people was kept at threshold 50"):
        SampleDPRidge(1.0, threshold=50.0, variant="published", **UNIT, random_state=0).fit(
            X, y, epsilon=0.01
        )
    # the repaired variant has an answer: pure noise around 0
    model = SampleDPRidge(1.0, threshold=50.0, **UNIT, random_state=0).fit(X, y, epsilon=0.01)
    assert model.kept_ == 0
