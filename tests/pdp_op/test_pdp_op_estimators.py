"""The private ridge estimators and the private mean: solutions, noise, accounts and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from trustlib.pdp_op import (
    DomainError,
    DomainWarning,
    PersonalizedMean,
    PersonalizedRidge,
    UniformDPRidge,
    noise_rate,
)
from trustlib.privacy import BudgetExceeded, PersonalizedDP, PrivacyLedger, PureDP

# A level at which the noise is below 1e-9: what is left is the minimiser.
LOUD = 1e13
PUBLIC = {"x_norm": 3.0, "y_bound": 3.0}
BOTH = pytest.mark.parametrize("bounds", ["paper", "tight"])


def table(n=40, d=3, m=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, d))
    y = rng.uniform(-1, 1, size=n if m is None else (n, m))
    return X, y, rng.uniform(0.1, 1.0, n)


def ridge(alpha=0.5, **options):
    return PersonalizedRidge(alpha, **{**PUBLIC, "random_state": 0, **options})


# ------------------------------------------------------------------------------------------------------ solutions


def test_two_people_by_hand():
    # weights 1/4, 3/4; X^T W X = 1/4 + 3/4 * 1/4 = 7/16, X^T W y = 1/4 - 3/4 * 1/2 = -1/8; theta = -1/8 / (7/16 + 1)
    model = PersonalizedRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0)
    model.fit([[1.0], [0.5]], [1.0, -1.0], epsilon=[0.25 * LOUD, 0.75 * LOUD])
    assert model.coef_ == pytest.approx([-2 / 23])
    # uniform: weights 1/2; 5/8 and 1/4, so 0.25 / 1.625
    model = UniformDPRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0)
    model.fit([[1.0], [0.5]], [1.0, -1.0], epsilon=[0.25 * LOUD, 0.75 * LOUD])
    assert model.coef_ == pytest.approx([2 / 13])


def test_public_attributes_by_hand():
    # R = Y = lam = 1, paper: B = 1, Delta_i = 4 w_i, eta = (0.5 + 1.5) / 4
    model = PersonalizedRidge(1.0, x_norm=1.0, y_bound=1.0, bounds="paper", random_state=0)
    model.fit([[1.0], [0.5]], [1.0, -1.0], epsilon=[0.5, 1.5])
    assert (model.radius_, model.noise_rate_) == (1.0, 0.5)
    np.testing.assert_allclose(model.sensitivity_, [1.0, 3.0])
    np.testing.assert_allclose(model.privacy_spent_, [0.5, 1.5])
    # (0.5 + 1.5)^2 / (0.25 + 2.25)
    assert model.n_effective_ == pytest.approx(1.6)
    assert (model.clipped_.rows, model.clipped_.labels, model.n_features_in_) == (0, 0, 1)


@pytest.mark.parametrize("m", [None, 2])
def test_minimiser_equals_scikit_learn(m):
    X, y, level = table(m=m)
    n, lam = len(X), 0.3
    # equal weights 1/n: F * n is the sum loss with n * lam
    model = ridge(lam).fit(X, y, epsilon=LOUD)
    oracle = Ridge(alpha=n * lam, fit_intercept=False).fit(X, y)
    np.testing.assert_allclose(model.coef_, oracle.coef_, atol=1e-8)
    np.testing.assert_allclose(model.predict(X), oracle.predict(X), atol=1e-8)
    # personal weights that sum to 1: sample_weight with alpha = lam
    model = ridge(lam).fit(X, y, epsilon=LOUD * level)
    oracle = Ridge(alpha=lam, fit_intercept=False).fit(X, y, sample_weight=level / level.sum())
    np.testing.assert_allclose(model.coef_, oracle.coef_, atol=1e-8)


@BOTH
def test_uniform_is_personalised_at_the_minimum(bounds):
    X, y, level = table()
    uniform = UniformDPRidge(0.5, **PUBLIC, bounds=bounds, random_state=3).fit(X, y, epsilon=level)
    same = ridge(bounds=bounds, random_state=3).fit(X, y, epsilon=np.full(40, level.min()))
    np.testing.assert_array_equal(uniform.coef_, same.coef_)
    np.testing.assert_array_equal(uniform.privacy_spent_, np.full(40, level.min()))


def test_public_intercept_is_ridge_on_centred_data():
    X, y, level = table()
    centre = np.array([2.0, 0.0, -1.0])
    X, y = X + centre, y + 5.0
    model = ridge(fit_intercept="public", x_offset=centre, y_offset=5.0)
    model.fit(X, y, epsilon=LOUD * level)
    centred = ridge().fit(X - centre, y - 5.0, epsilon=LOUD * level)
    np.testing.assert_allclose(model.coef_, centred.coef_)
    assert model.intercept_ == pytest.approx(5.0 - model.coef_ @ centre)
    np.testing.assert_allclose(model.predict(X), centred.predict(X - centre) + 5.0)
    assert model.expected_mse(X, y) == pytest.approx(centred.expected_mse(X - centre, y - 5.0))
    assert ridge().fit(X - centre, y - 5.0, epsilon=1.0).intercept_ == 0.0


def test_public_intercept_of_several_outputs():
    X, y, level = table(m=2)
    model = ridge(fit_intercept="public", x_offset=0.1, y_offset=[1.0, -1.0], y_bound=5.0)
    model.fit(X, y, epsilon=LOUD * level)
    assert model.coef_.shape == (2, 3)
    np.testing.assert_allclose(model.intercept_, [1.0, -1.0] - model.coef_ @ np.full(3, 0.1))
    np.testing.assert_allclose(model.predict(X), X @ model.coef_.T + model.intercept_)


@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 50))
def test_order_of_people_does_not_matter(n, d, seed):
    X, y, level = table(n, d, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    one = ridge().fit(X, y, epsilon=level)
    two = ridge().fit(X[order], y[order], epsilon=level[order])
    np.testing.assert_allclose(one.coef_, two.coef_, rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------------------------------------------------- noise


@pytest.mark.parametrize("m", [None, 2])
def test_noise_has_the_stated_law(m):
    X, y, level = table(n=5, m=m)
    draws, dim = 1500, 3 * (m or 1)
    quiet = ridge().fit(X, y, epsilon=level * LOUD).coef_
    rng = np.random.default_rng(2)
    noise = np.array([ridge(random_state=rng).fit(X, y, epsilon=level).coef_ - quiet for _ in range(draws)])
    norms = np.linalg.norm(noise.reshape(draws, -1), axis=1)
    rate = noise_rate(level, 0.5, **PUBLIC, bounds="tight")
    # the norm is Gamma(dim, 1 / eta): mean dim / eta, standard error sqrt(dim / draws) / eta; 4 of them
    assert abs(norms.mean() * rate - dim) < 4 * (dim / draws) ** 0.5
    # E norm^2 = dim (dim + 1) / eta^2; its variance is dim (dim + 1) (4 dim + 6) / eta^4
    error = (dim * (dim + 1) * (4 * dim + 6) / draws) ** 0.5
    assert abs(np.mean(norms**2) * rate**2 - dim * (dim + 1)) < 4 * error
    # no direction is preferred: coordinates have mean 0 and variance (dim + 1) / eta^2
    mean = noise.reshape(draws, -1).mean(axis=0) * rate
    assert (np.abs(mean) < 4.5 * ((dim + 1) / draws) ** 0.5).all()


def test_expected_loss_agrees_with_refitting():
    X, y, level = table(n=20)
    model = ridge().fit(X, y, epsilon=level)
    rng, draws = np.random.default_rng(5), 1500
    losses = []
    for _ in range(draws):
        again = ridge(random_state=rng).fit(X, y, epsilon=level)
        losses.append(np.mean((y - again.predict(X)) ** 2))
    error = np.std(losses) / draws**0.5
    assert abs(np.mean(losses) - model.expected_mse(X, y)) < 4 * error
    # heavy tails: standard error of the standard deviation through the fourth moment
    centred = np.array(losses) - np.mean(losses)
    spread = np.std(losses)
    error = ((np.mean(centred**4) - spread**4) / draws) ** 0.5 / (2 * spread)
    assert abs(spread - model.mse_std(X, y)) < 4 * error


def test_seed_repeats_and_generator_goes_on():
    X, y, level = table()
    np.testing.assert_array_equal(
        ridge().fit(X, y, epsilon=level).coef_, ridge().fit(X, y, epsilon=level).coef_
    )
    rng = np.random.default_rng(0)
    model = ridge(random_state=rng)
    first = model.fit(X, y, epsilon=level).coef_
    assert not np.array_equal(first, model.fit(X, y, epsilon=level).coef_)
    fresh = [ridge(random_state=None).fit(X, y, epsilon=level).coef_ for _ in range(2)]
    assert not np.array_equal(*fresh)


def test_global_random_state_and_inputs_are_left_alone():
    X, y, level = table(m=2)
    copies = X.copy(), y.copy(), level.copy()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    torch_before = torch.random.get_rng_state()
    options = {"x_norm": 0.5, "y_bound": 0.5, "on_violation": "clip", "random_state": None}
    with pytest.warns(DomainWarning):
        ridge(**options, fit_intercept="public", x_offset=0.1, y_offset=0.1).fit(X, y, epsilon=level)
    PersonalizedMean(-1, 1).fit(X, y[:, 0], epsilon=level)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_before, torch.random.get_rng_state())
    for old, now in zip(copies, (X, y, level), strict=True):
        np.testing.assert_array_equal(old, now)


def test_tensors_give_the_same_release():
    X, y, level = table(m=2)
    arrays = ridge().fit(X, y, epsilon=level)
    tensors = ridge().fit(torch.tensor(X, requires_grad=True), torch.tensor(y), epsilon=torch.tensor(level))
    np.testing.assert_array_equal(arrays.coef_, tensors.coef_)
    np.testing.assert_array_equal(arrays.predict(X), tensors.predict(torch.tensor(X)))
    assert arrays.expected_mse(X, y) == tensors.expected_mse(torch.tensor(X), torch.tensor(y))


# --------------------------------------------------------------------------------------------------------- domain


def test_data_outside_the_domain_is_refused():
    X, y, level = table(n=4)
    X[0], y[1] = [3.0, 4.0, 0.0], -7.0
    with pytest.raises(
        DomainError, match=r"1 of 4 rows .* x_norm = 3 \(largest 5\), 1 labels .* \(largest 7\)"
    ):
        ridge().fit(X, y, epsilon=level)
    assert issubclass(DomainError, ValueError)


def test_clipping_projects_warns_and_counts():
    X, y, level = table(n=4)
    X[0], y[1] = [3.0, 4.0, 0.0], -7.0
    with pytest.warns(DomainWarning, match="projected onto the domain"):
        model = ridge(on_violation="clip").fit(X, y, epsilon=level)
    assert (model.clipped_.rows, model.clipped_.labels) == (1, 1)
    # norm 5 to norm 3: factor 3/5
    X[0], y[1] = [1.8, 2.4, 0.0], -3.0
    np.testing.assert_allclose(model.coef_, ridge().fit(X, y, epsilon=level).coef_)


def test_outputs_share_one_bound():
    X, _, level = table(n=2)
    # (3, 4) has norm 5: each label is inside a bound of 4.5, the pair is not
    y = np.array([[3.0, 4.0], [0.0, 1.0]])
    with pytest.raises(DomainError, match=r"1 labels exceed y_bound = 4.5 \(largest 5\)"):
        ridge(y_bound=4.5).fit(X, y, epsilon=level)
    with pytest.warns(DomainWarning):
        clipped = ridge(y_bound=4.5, on_violation="clip").fit(X, y, epsilon=level)
    y[0] *= 4.5 / 5
    np.testing.assert_allclose(clipped.coef_, ridge(y_bound=4.5).fit(X, y, epsilon=level).coef_)


def test_rows_on_the_bound_are_inside():
    X = np.array([[0.6, 0.8], [1.0, 0.0]])
    model = PersonalizedRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0)
    assert model.fit(X, [1.0, -1.0], epsilon=1.0).clipped_.rows == 0


def test_minimiser_stays_within_the_radius():
    for seed in range(20):
        X, y, level = table(n=3, seed=seed)
        model = PersonalizedRidge(0.05, x_norm=3**0.5, y_bound=1.0, random_state=0)
        model.fit(X, y, epsilon=level * LOUD)
        assert np.linalg.norm(model.coef_) <= model.radius_ + 1e-6


# -------------------------------------------------------------------------------------------------------- account


@pytest.mark.parametrize("kind", [PersonalizedRidge, UniformDPRidge])
def test_fits_add_up(kind):
    X, y, _ = table(n=3)
    model = kind(0.5, **PUBLIC, random_state=np.random.default_rng(0))
    model.fit(X, y, epsilon=[0.5, 1.0, 2.0])
    once = model.privacy_spent_
    model.fit(X, y, epsilon=[1.0, 1.0, 1.0])
    np.testing.assert_allclose(model.privacy_spent_, once + 1.0)
    assert len(model.ledger_) == 2
    assert model.ledger is None


def test_one_ledger_for_several_models():
    X, y, _ = table(n=2)
    ledger = PrivacyLedger("substitution", unit="one person")
    ridge(ledger=ledger).fit(X, y, epsilon=[0.5, 1.0])
    UniformDPRidge(1.0, **PUBLIC, ledger=ledger, random_state=0).fit(X, y, epsilon=[0.5, 1.0])
    mean = PersonalizedMean(-1.0, 1.0, ledger=ledger, random_state=0).fit(X, y, epsilon=[0.25, 0.25])
    # 0.5 + 0.5 + 0.25 and 1.0 + 0.5 + 0.25
    np.testing.assert_allclose(mean.privacy_spent_, [1.25, 1.75])
    assert [entry.label for entry in ledger.entries] == ["PDP-OP", "DP-OP(min)", "personalised mean"]
    assert ledger.total() == PersonalizedDP([1.25, 1.75])


def test_a_spent_budget_stops_the_release_and_keeps_the_model():
    X, y, _ = table(n=2)
    ledger = PrivacyLedger("substitution", unit="one person", limit=PureDP(1.0))
    model = ridge(ledger=ledger, random_state=np.random.default_rng(0)).fit(X, y, epsilon=[0.5, 0.75])
    before = model.coef_, model.noise_rate_
    with pytest.raises(BudgetExceeded, match="Nothing was recorded"):
        model.fit(X, y, epsilon=[0.1, 0.5])
    assert model.coef_ is before[0]
    assert model.noise_rate_ == before[1]
    np.testing.assert_allclose(model.privacy_spent_, [0.5, 0.75])


def test_fitting_other_people_needs_another_account():
    X, y, _ = table(n=5)
    model = ridge().fit(X, y, epsilon=1.0)
    before = model.coef_
    with pytest.raises(
        ValueError, match=r"about 5 records and X has 3\. .* new ledger, or sklearn\.base\.clone"
    ):
        model.fit(X[:3], y[:3], epsilon=1.0)
    assert model.coef_ is before
    np.testing.assert_array_equal(clone(model).fit(X[:3], y[:3], epsilon=1.0).privacy_spent_, np.ones(3))


def test_clones_share_the_ledger_and_the_generator():
    X, y, _ = table(n=2)
    ledger, rng = PrivacyLedger("substitution", unit="one person"), np.random.default_rng(0)
    model = ridge(ledger=ledger, random_state=rng)
    releases = [clone(model).fit(X, y, epsilon=[0.5, 1.0]).coef_ for _ in range(2)]
    assert len(ledger) == 2
    # two releases with the same noise would reveal the difference of their minimisers
    assert not np.array_equal(*releases)
    seeded = [clone(ridge(random_state=7)).fit(X, y, epsilon=1.0).coef_ for _ in range(2)]
    np.testing.assert_array_equal(*seeded)


def test_refused_data_costs_nothing():
    X, y, _ = table(n=2)
    ledger = PrivacyLedger("substitution", unit="one person")
    with pytest.raises(DomainError):
        ridge(ledger=ledger, x_norm=1e-3).fit(X, y, epsilon=1.0)
    with pytest.raises(TypeError, match=r"random_state must be a numpy\.random\.Generator"):
        ridge(ledger=ledger, random_state=np.random.RandomState(0)).fit(X, y, epsilon=1.0)
    assert len(ledger) == 0


# --------------------------------------------------------------------------------------------------------- levels


def test_level_of_fit_wins_over_that_of_the_constructor():
    X, y, level = table()
    by_fit = ridge(epsilon=9.0).fit(X, y, epsilon=level)
    np.testing.assert_array_equal(by_fit.coef_, ridge(epsilon=level).fit(X, y).coef_)
    np.testing.assert_array_equal(by_fit.privacy_spent_, level)
    np.testing.assert_array_equal(ridge(epsilon=2.0).fit(X, y).privacy_spent_, np.full(40, 2.0))


@pytest.mark.parametrize("kind", [PersonalizedRidge, UniformDPRidge, PersonalizedMean])
def test_bad_levels_are_refused(kind):
    X, y, _ = table(n=3)
    model = kind(-1.0, 1.0) if kind is PersonalizedMean else kind(1.0, **PUBLIC)
    with pytest.raises(ValueError, match="epsilon is missing: pass fit"):
        model.fit(X, y)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(
            ValueError, match=r"epsilon must be finite and > 0 .* at position 2 .* leave them out"
        ):
            model.fit(X, y, epsilon=[1.0, 1.0, bad])
    with pytest.raises(ValueError, match="one level for each of the 3 records, got 2"):
        model.fit(X, y, epsilon=[1.0, 1.0])
    with pytest.raises(ValueError, match=r"one level per record, got shape \(3, 1\)"):
        model.fit(X, y, epsilon=np.ones((3, 1)))
    for bad in ("strict", True, ["a", "b", "c"]):
        with pytest.raises(TypeError, match="epsilon must be a number or a vector of numbers"):
            model.fit(X, y, epsilon=bad)
    assert not hasattr(model, "ledger_")


# ----------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"alpha": 0.0}, ValueError, "alpha must be a finite number > 0, got 0.0. Without regularisation"),
        ({"alpha": math.nan}, ValueError, "alpha must be a finite number > 0"),
        ({"alpha": "1"}, TypeError, "alpha must be a number, got '1'"),
        ({"alpha": True}, TypeError, "alpha must be a number, got True"),
        ({"x_norm": -1.0}, ValueError, "x_norm must be a finite number > 0, got -1.0"),
        ({"x_norm": math.inf}, ValueError, "x_norm must be a finite number > 0, got inf"),
        ({"y_bound": 0}, ValueError, "y_bound must be a finite number > 0, got 0"),
        ({"bounds": "loose"}, ValueError, 'bounds must be one of "paper", "tight", got \'loose\''),
        ({"adjacency": "add_remove"}, ValueError, "adjacency must be .* the loss has no finite bound"),
        ({"on_violation": "ignore"}, ValueError, 'on_violation must be "raise" or "clip", got \'ignore\''),
        ({"fit_intercept": True}, ValueError, 'fit_intercept must be "public" or False, got True'),
        ({"x_offset": 0.5}, ValueError, "public centres: they need fit_intercept"),
        ({"y_offset": 0.5}, ValueError, "public centres: they need fit_intercept"),
        (
            {"fit_intercept": "public", "x_offset": [1.0, 2.0]},
            ValueError,
            "x_offset must be a finite number or a vector of 3, got",
        ),
        ({"fit_intercept": "public", "x_offset": math.nan}, ValueError, "x_offset must be a finite number"),
        ({"fit_intercept": "public", "y_offset": [1.0]}, ValueError, "y_offset must be a finite number, got"),
        ({"ledger": 3}, TypeError, "ledger must be a PrivacyLedger or None, got 3"),
        ({"random_state": "abc"}, TypeError, "random_state must be .* a seed or None, got 'abc'"),
    ],
)
def test_bad_parameters_are_refused_in_fit(options, kind, message):
    X, y, level = table()
    with pytest.raises(kind, match=message):
        ridge(**options).fit(X, y, epsilon=level)


def test_bad_tables_are_refused():
    X, y, level = table()
    with pytest.raises(ValueError, match="NaN"):
        ridge().fit(np.where(X > 0.9, np.nan, X), y, epsilon=level)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ridge().fit(X, y[:-1], epsilon=level)
    with pytest.raises(ValueError, match="0 sample"):
        ridge().fit(X[:0], y[:0], epsilon=1.0)
    with pytest.raises(NotFittedError):
        ridge().predict(X)
    with pytest.raises(NotFittedError):
        ridge().expected_mse(X, y)
    with pytest.raises(ValueError, match="2 features, but PersonalizedRidge is expecting 3"):
        ridge().fit(X, y, epsilon=level).predict(X[:, :2])


# ----------------------------------------------------------------------------------------------------------- mean


def test_mean_by_hand():
    # weights 1/4, 3/4: 0.75; scale (1 - 0) / (1 + 3)
    model = PersonalizedMean(0.0, 1.0, random_state=0).fit(np.zeros((2, 1)), [0.0, 1.0], epsilon=[1.0, 3.0])
    assert model.scale_ == 0.25
    loud = PersonalizedMean(0.0, 1.0, random_state=0)
    loud.fit(np.zeros((2, 1)), [0.0, 1.0], epsilon=[LOUD, 3 * LOUD])
    np.testing.assert_allclose(loud.predict(np.zeros((3, 1))), [0.75] * 3)
    # against the targets 0 and 1: (0.75^2 + 0.25^2) / 2 + 2 / 16
    assert model.expected_mse(np.zeros((2, 1)), [0.0, 1.0]) == pytest.approx(0.3125 + 0.125)


@given(st.lists(st.floats(0.05, 3.0), min_size=1, max_size=6), st.integers(0, 99))
def test_mean_gives_everybody_exactly_their_level(level, seed):
    # worst exchange of record i moves the mean by w_i (upper - lower); divided by the scale this is epsilon_i
    y = np.random.default_rng(seed).uniform(-2, 3, len(level))
    for person, own in enumerate(level):
        ends = []
        for value in (-2.0, 3.0):
            y[person] = value
            model = PersonalizedMean(-2.0, 3.0, random_state=0)
            ends.append(model.fit(np.zeros((len(y), 1)), y, epsilon=level).mean_)
        # the same seed gives the same noise, so it cancels
        assert abs(ends[1] - ends[0]) / model.scale_ == pytest.approx(own, rel=1e-6)


def test_mean_adds_up_and_refuses():
    X, y = np.zeros((2, 1)), [0.0, 1.0]
    model = PersonalizedMean(0.0, 1.0, random_state=np.random.default_rng(0))
    model.fit(X, y, epsilon=[0.5, 1.0]).fit(X, y, epsilon=[0.5, 1.0])
    np.testing.assert_allclose(model.privacy_spent_, [1.0, 2.0])
    with pytest.raises(DomainError, match=r"y must lie in \[0.0, 0.5\], got 0 to 1"):
        PersonalizedMean(0.0, 0.5).fit(X, y, epsilon=1.0)
    with pytest.raises(ValueError, match=r"lower must be below upper, got 1\.0 and 0\.0"):
        PersonalizedMean(1.0, 0.0).fit(X, y, epsilon=1.0)
    with pytest.raises(ValueError, match="upper must be finite, got inf"):
        PersonalizedMean(0.0, math.inf).fit(X, y, epsilon=1.0)
    with pytest.raises(TypeError, match="lower must be a number, got 'a'"):
        PersonalizedMean("a", 1.0).fit(X, y, epsilon=1.0)
    with pytest.raises(NotFittedError):
        PersonalizedMean(0.0, 1.0).predict(X)
