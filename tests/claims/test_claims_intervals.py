"""Intervals against closed forms, SciPy and plain loops; coverage; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trustlib.claims import IntervalSpec, interval

T = IntervalSpec("t", level=0.95)
CP = IntervalSpec("clopper_pearson", level=0.95)
BCA = IntervalSpec("bootstrap", level=0.95, kind="bca", of="mean")
PERCENTILE = IntervalSpec("bootstrap", level=0.95, kind="percentile", of="mean")


@pytest.fixture
def rng():
    return np.random.default_rng(20240131)


def test_t_by_hand(rng):
    # mean 3, s = sqrt((4 + 0 + 4) / 2) = 2, s / sqrt(3) = 1.1547; t_{0.975, 2} = 4.3027
    found = interval(np.array([1.0, 3.0, 5.0]), T, rng=rng)
    assert found.estimate == 3
    assert found.low == pytest.approx(3 - 4.3027 * 1.1547, abs=1e-3)
    assert found.high == pytest.approx(3 + 4.3027 * 1.1547, abs=1e-3)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30), st.sampled_from([0.8, 0.9, 0.99]))
def test_t_agrees_with_scipy(values, level):
    samples = np.array(values)
    if samples.std() < 1e-6:
        return
    found = interval(samples, IntervalSpec("t", level=level), rng=np.random.default_rng(0))
    expected = stats.ttest_1samp(samples, 0).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=1e-6, abs=1e-9)


def test_clopper_pearson_by_hand(rng):
    # all of 10: the lower end p solves p^10 = 0.025, so p = 0.025^(1/10) = 0.6915
    found = interval(np.ones(10), CP, rng=rng)
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 10))
    # none of 1: the upper end solves (1 - p) = 0.025
    assert interval(np.zeros(1), CP, rng=rng).high == pytest.approx(0.975)


@pytest.mark.parametrize(("ones", "n"), [(0, 5), (1, 5), (7, 20), (20, 20), (333, 1000)])
def test_clopper_pearson_agrees_with_scipy(ones, n, rng):
    found = interval(np.r_[np.ones(ones), np.zeros(n - ones)], CP, rng=rng)
    expected = stats.binomtest(ones, n).proportion_ci(0.95, method="exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("above", "below"), [(6, 0), (5, 0), (9, 1), (8, 2), (0, 6)])
def test_sign_test_rule_is_the_binomial_test(above, below, rng):
    spec = IntervalSpec("sign_test", level=0.95, against=1.0)
    samples = np.r_[np.full(above, 1.5), np.full(below, 0.5), [1.0]]  # the tie is dropped
    found = interval(samples, spec, rng=rng)
    assert found.n == above + below
    # two-sided interval at 95 %: above one half exactly if the one-sided test rejects at 2.5 %
    rejected = stats.binomtest(above, above + below, 0.5, alternative="greater").pvalue < 0.025
    assert (found.low > 0.5) == rejected


def test_sign_test_of_ties_alone_knows_nothing(rng):
    found = interval(np.ones(7), IntervalSpec("sign_test", level=0.95, against=1.0), rng=rng)
    assert (found.estimate, found.low, found.high, found.n) == (0.5, 0.0, 1.0, 0)


@pytest.mark.parametrize("kind", ["bca", "percentile"])
@pytest.mark.parametrize("of", ["mean", "median"])
def test_bootstrap_agrees_with_scipy(kind, of, rng):
    samples = rng.lognormal(size=40)
    spec = IntervalSpec("bootstrap", level=0.9, kind=kind, of=of)
    found = interval(samples, spec, rng=np.random.default_rng(1))
    expected = stats.bootstrap(
        (samples,), getattr(np, of), confidence_level=0.9, n_resamples=9999,
        method=kind.replace("bca", "BCa"), random_state=np.random.default_rng(2),
    )  # fmt: skip
    assert found.estimate == getattr(np, of)(samples)
    # both ends are quantiles of 9999 draws; their standard error is about 0.02 of the standard error of the
    # statistic, 0.06 with the tail correction and the ties of a median
    tolerance = 0.2 * expected.standard_error
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=tolerance)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=tolerance)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_bca_correction_agrees_with_scipy_on_skewed_samples(seed):
    samples = np.random.default_rng(seed).lognormal(sigma=1.5, size=15)
    spec = IntervalSpec("bootstrap", level=0.9, kind="bca", of="mean")
    found = interval(samples, spec, rng=np.random.default_rng(1))
    expected = stats.bootstrap(
        (samples,), np.mean, confidence_level=0.9, n_resamples=99_999, method="BCa",
        random_state=np.random.default_rng(2),
    )  # fmt: skip
    # The corrected upper tail is near 0.99, where 9999 draws know the quantile to 0.04 standard errors of the
    # mean; half the acceleration or one z0 less moves it by 0.2 or more.
    tolerance = 0.12 * expected.standard_error
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=tolerance)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=tolerance)


def test_bca_leans_towards_the_long_tail(rng):
    samples = rng.exponential(size=30)
    plain = interval(samples, PERCENTILE, rng=np.random.default_rng(0))
    corrected = interval(samples, BCA, rng=np.random.default_rng(0))
    assert corrected.low > plain.low
    assert corrected.high > plain.high


def test_bootstrap_in_blocks_is_the_bootstrap(rng):
    # 5000 units make blocks of 400 rows; the central limit gives the answer
    samples = rng.normal(size=5000)
    found = interval(samples, BCA, rng=rng)
    half = 1.96 * samples.std(ddof=1) / np.sqrt(5000)
    assert found.low == pytest.approx(samples.mean() - half, abs=0.05 * half)
    assert found.high == pytest.approx(samples.mean() + half, abs=0.05 * half)


@pytest.mark.parametrize("spec", [T, BCA, PERCENTILE], ids=["t", "bca", "percentile"])
def test_coverage_on_normal_samples(spec):
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(200):
        found = interval(rng.normal(1.0, 1.0, size=25), spec, rng=rng)
        hits += found.low <= 1.0 <= found.high
    # at 95 % the standard error of 200 trials is 0.0154; resampling 25 units may cost up to 0.03
    assert 0.95 - 0.03 - 3 * 0.0154 <= hits / 200 <= 0.95 + 3 * 0.0154


def test_replicates_are_percentiles(rng):
    # 0, 1, ..., 1000: the 2.5 % quantile is 25, the 97.5 % quantile 975
    found = interval(np.arange(1001.0), IntervalSpec("replicates", level=0.95), rng=rng)
    assert (found.estimate, found.low, found.high) == (500, pytest.approx(25), pytest.approx(975))


def test_count_and_exact_by_hand(rng):
    found = interval(np.array([1.0, 0.0, 1.0]), IntervalSpec("count", total=3), rng=rng)
    assert (found.estimate, found.low, found.high, found.n) == (2, 2, 2, 3)
    found = interval(np.array([0.3, 0.9, 0.4]), IntervalSpec("exact"), rng=rng)
    assert (found.estimate, found.low, found.high, found.n) == (0.4, 0.3, 0.9, 3)


@pytest.mark.parametrize("spec", [T, BCA, PERCENTILE], ids=["t", "bca", "percentile"])
def test_equal_samples_give_an_interval_without_width(spec, rng):
    found = interval(np.full(9, 0.1), spec, rng=rng)
    assert found.high - found.low < 1e-15
    assert found.estimate == pytest.approx(0.1)


@given(
    values=st.lists(st.floats(-10, 10), min_size=8, max_size=20),
    scale=st.floats(0.1, 10),
    shift=st.floats(-5, 5),
    spec=st.sampled_from([T, BCA, PERCENTILE]),
)
def test_mean_intervals_move_and_stretch_with_the_samples(values, scale, shift, spec):
    samples = np.array(values)
    if np.ptp(samples) < 1e-3:
        return
    before = interval(samples, spec, rng=np.random.default_rng(3))
    after = interval(scale * samples + shift, spec, rng=np.random.default_rng(3))
    for name in ("estimate", "low", "high"):
        assert getattr(after, name) == pytest.approx(scale * getattr(before, name) + shift, abs=1e-6)


def test_samples_are_not_changed_and_order_does_not_matter_for_t(rng):
    samples = rng.normal(size=12)
    kept = samples.copy()
    for spec in (T, BCA, IntervalSpec("exact"), IntervalSpec("sign_test", level=0.9, against=0.0)):
        interval(samples, spec, rng=rng)
    assert np.array_equal(samples, kept)
    forward, backward = (interval(s, T, rng=rng) for s in (samples, samples[::-1]))
    assert forward.low == pytest.approx(backward.low)


@pytest.mark.parametrize(
    ("samples", "spec", "message"),
    [
        ([1.0], T, "t needs at least 2 samples, got 1: run more units"),
        ([1.0] * 7, BCA, "bootstrap needs at least 8 samples, got 7"),
        ([1.0] * 199, IntervalSpec("replicates", level=0.95), "replicates needs at least 200 samples"),
        ([], IntervalSpec("exact"), "exact needs at least 1 samples, got 0"),
        ([1.0, 0.5], CP, "samples that are 0 or 1 .* got 0.5"),
        ([1.0, 2.0], IntervalSpec("count", total=2), "samples that are 0 or 1 .* got 2"),
        ([1.0, 0.0], IntervalSpec("count", total=3), "count is over exactly 3 units, got 2"),
    ],
)
def test_unusable_samples_are_refused(samples, spec, message, rng):
    with pytest.raises(ValueError, match=message):
        interval(np.array(samples), spec, rng=rng)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (T, "95 % t interval"),
        (BCA, "95 % BCa bootstrap interval of the mean"),
        (IntervalSpec("bootstrap", level=0.9, kind="percentile", of="median"),
         "90 % percentile bootstrap interval of the median"),
        (IntervalSpec("sign_test", level=0.95, against=1.01),
         "95 % Clopper-Pearson interval of the share above 1.01 (sign test)"),
        (IntervalSpec("count", total=3), "count"),
    ],
)  # fmt: skip
def test_words(spec, words):
    assert spec.words() == words


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "z"}, "method is 'z', allowed: t, bootstrap"),
        ({"method": "t"}, "level is missing, but method t takes exactly: level"),
        ({"method": "bootstrap", "level": 0.9, "of": "mean"}, "kind is missing, but method bootstrap takes"),
        ({"method": "exact", "level": 0.9}, "level is 0.9, but method exact takes exactly: -"),
        ({"method": "t", "level": 95}, "level is 95, need a fraction between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        IntervalSpec(**settings)
