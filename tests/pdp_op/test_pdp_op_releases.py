"""What leaves the curator: copies without secrets, fresh noise for every release, tables read in blocks."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from trustlib.pdp_op import (
    DomainError,
    DomainWarning,
    PersonalizedMean,
    PersonalizedRidge,
    PersonalizedStatisticsRidge,
    RidgeReference,
    SampleDPRidge,
    UniformDPRidge,
)
from trustlib.privacy import BudgetExceeded, PrivacyLedger, PureDP

PUBLIC = {"x_norm": 2.0, "y_bound": 1.0}
KINDS = {
    "personalised": lambda **options: PersonalizedRidge(1.0, **PUBLIC, **options),
    "uniform": lambda **options: UniformDPRidge(1.0, **PUBLIC, **options),
    "sample": lambda **options: SampleDPRidge(1.0, **PUBLIC, **options),
    "statistics": lambda **options: PersonalizedStatisticsRidge(1.0, **PUBLIC, **options),
    "mean": lambda **options: PersonalizedMean(-1.0, 1.0, **options),
}
EVERY = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def table(n=30, d=3, m=None, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.uniform(-1, 1, (n, d)),
        rng.uniform(-0.7, 0.7, n if m is None else (n, m)),
        rng.uniform(0.1, 1, n),
    )


# --------------------------------------------------------------------------------------------------------- copies


def numbers(value, seen=None):
    """All numbers that can be reached from an object, the estimator's own parameters included."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, np.ndarray | float | np.floating):
        return np.asarray(value, float).ravel().tolist()
    if isinstance(value, dict):
        return [n for item in value.values() for n in numbers(item, seen)]
    if isinstance(value, list | tuple):
        return [n for item in value for n in numbers(item, seen)]
    return numbers(vars(value), seen) if hasattr(value, "__dict__") else []


def reveals(state, secret):
    """Whether one of the secret numbers stands in the state."""
    found = np.array(numbers(state))
    return any(np.isclose(found, s, rtol=1e-9, atol=0).any() for s in np.ravel(secret))


@pytest.mark.parametrize(
    "make_copy", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"]
)
@pytest.mark.parametrize("source", [7, "generator"])
def test_copies_carry_nothing_that_takes_the_noise_off(make_copy, source):
    X, y, level = table()
    secret = RidgeReference(1.0).fit(X, y, epsilon=level).coef_
    model = KINDS["personalised"](random_state=np.random.default_rng(7) if source == "generator" else source)
    model.fit(X, y, epsilon=level)
    back = make_copy(model)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    assert not reveals(vars(back), secret)
    assert back.random_state is None
    # planted: the fitted object itself holds the secret, so the search would have found it
    assert reveals(vars(model), secret)
    assert model.random_state is not None


@EVERY
def test_copies_of_every_kind_predict_and_keep_the_account(make):
    X, y, level = table()
    model = make(random_state=3).fit(X, y, epsilon=level)
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    np.testing.assert_array_equal(back.privacy_spent_, model.privacy_spent_)
    assert not {"_minimiser", "_mean", "clipped_", "kept_"} & set(vars(back))
    # the copy goes on with noise of its own, and the account with it
    once = back.privacy_spent_.copy()
    np.testing.assert_allclose(back.fit(X, y, epsilon=level).privacy_spent_, 2 * once)


def test_copies_say_why_they_cannot_tell_the_expected_loss():
    X, y, level = table()
    for kind in ("personalised", "mean"):
        back = pickle.loads(pickle.dumps(KINDS[kind](random_state=0).fit(X, y, epsilon=level)))
        with pytest.raises(AttributeError, match="copies do not carry the solution before noise"):
            back.expected_mse(X, y)


def test_unfitted_copies_keep_a_seed_but_not_a_generator():
    seeded = pickle.loads(pickle.dumps(KINDS["personalised"](random_state=5)))
    assert seeded.random_state == 5
    # a copied generator would repeat the noise of the original
    source = KINDS["personalised"](random_state=np.random.default_rng(5))
    assert copy.deepcopy(source).random_state is None
    assert clone(source).random_state is source.random_state


# ---------------------------------------------------------------------------------------------------- fresh noise


@EVERY
def test_a_second_release_with_a_seed_has_other_noise(make):
    X, y, level = table()
    model = make(random_state=7)
    first = np.array(model.fit(X, y, epsilon=level).predict(X[:2]))
    second = np.array(model.fit(X, y, epsilon=level).predict(X[:2]))
    # the same table: equal noise would give equal answers, so that two tables would give their exact difference
    assert not np.isclose(first, second).any()
    # and the whole history repeats
    again = make(random_state=7)
    np.testing.assert_array_equal(first, again.fit(X, y, epsilon=level).predict(X[:2]))
    np.testing.assert_array_equal(second, again.fit(X, y, epsilon=level).predict(X[:2]))


def test_difference_of_two_releases_is_not_that_of_the_solutions():
    X, y, level = table()
    other = y.copy()
    other[0] = -other[0]
    exact = (
        RidgeReference(1.0).fit(X, other, epsilon=level).coef_
        - RidgeReference(1.0).fit(X, y, epsilon=level).coef_
    )

    def difference(one, two):
        first = one.fit(X, y, epsilon=level).coef_.copy()
        return two.fit(X, other, epsilon=level).coef_ - first

    model = KINDS["personalised"](random_state=7)
    assert np.linalg.norm(difference(model, model) - exact) > 10 * np.linalg.norm(exact)
    # one ledger, two estimators, one seed
    ledger = PrivacyLedger("substitution", unit="one person")
    one, two = (KINDS["personalised"](random_state=7, ledger=ledger) for _ in range(2))
    assert np.linalg.norm(difference(one, two) - exact) > 10 * np.linalg.norm(exact)
    # planted: separate accounts know nothing of each other, and the noise cancels
    one, two = (KINDS["personalised"](random_state=7) for _ in range(2))
    np.testing.assert_allclose(difference(one, two), exact, atol=1e-12)


def test_noise_of_seeded_refits_is_independent():
    X, y, level = table(n=4, d=1)
    quiet = RidgeReference(1.0).fit(X, y, epsilon=level).coef_
    pairs = []
    for seed in range(800):
        model = KINDS["personalised"](random_state=seed)
        pairs.append([model.fit(X, y, epsilon=level).coef_[0] - quiet[0] for _ in range(2)])
    # correlation of independent pairs: standard error 1 / sqrt(800), 4 of them
    assert abs(np.corrcoef(np.array(pairs).T)[0, 1]) < 4 / 800**0.5


@EVERY
def test_levels_are_passed_by_name(make):
    X, y, level = table()
    with pytest.raises(TypeError, match="positional argument"):
        make(random_state=0).fit(X, y, level)


# --------------------------------------------------------------------------------------------------------- blocks


def split(parts, *arrays):
    return list(zip(*(np.array_split(a, parts) for a in arrays), strict=True))


@pytest.mark.parametrize("m", [None, 2])
@pytest.mark.parametrize("parts", [1, 4, 30])
def test_blocks_give_the_release_of_the_whole(m, parts):
    X, y, level = table(m=m)
    options = {"fit_intercept": "public", "x_offset": 0.1, "y_offset": 0.0, "random_state": 2}
    whole = KINDS["personalised"](**options).fit(X, y, epsilon=level)
    model = KINDS["personalised"](**options).fit_blocks(iter(split(parts, X, y, level)))
    np.testing.assert_allclose(model.coef_, whole.coef_, rtol=1e-9)
    np.testing.assert_allclose(model.intercept_, whole.intercept_, rtol=1e-9)
    np.testing.assert_array_equal(model.privacy_spent_, level)
    np.testing.assert_allclose(model.sensitivity_, whole.sensitivity_)
    assert (len(model.ledger_), model.n_features_in_) == (1, 3)


def test_blocks_take_tensors_and_one_level_for_a_block():
    X, y, _ = table(n=4)
    blocks = [(torch.tensor(X[:3]), torch.tensor(y[:3]), 0.5), (X[3:], y[3:], [0.25])]
    model = KINDS["personalised"](random_state=0).fit_blocks(blocks)
    np.testing.assert_array_equal(model.privacy_spent_, [0.5, 0.5, 0.5, 0.25])


def test_blocks_are_clipped_and_counted_together():
    X, y, level = table(n=6)
    X[1], X[4], y[5] = [4.0, 0, 0], [0, 8.0, 0], 3.0
    with pytest.warns(DomainWarning):
        model = KINDS["personalised"](random_state=0, on_violation="clip").fit_blocks(split(2, X, y, level))
    assert (model.clipped_.rows, model.clipped_.labels) == (2, 1)
    with pytest.warns(DomainWarning):
        whole = KINDS["personalised"](random_state=0, on_violation="clip").fit(X, y, epsilon=level)
    np.testing.assert_allclose(model.coef_, whole.coef_)


def test_a_bad_last_block_costs_nothing():
    X, y, level = table(n=6)
    X[5] = [9.0, 0, 0]
    ledger = PrivacyLedger("substitution", unit="one person")
    model = KINDS["personalised"](random_state=0, ledger=ledger)
    with pytest.raises(DomainError, match="norm above x_norm"):
        model.fit_blocks(split(3, X, y, level))
    assert len(ledger) == 0
    assert not hasattr(model, "coef_")
    limited = PrivacyLedger("substitution", unit="one person", limit=PureDP(0.01))
    with pytest.raises(BudgetExceeded, match="Nothing was recorded"):
        KINDS["personalised"](ledger=limited).fit_blocks(split(3, X[:5], y[:5], level[:5]))


def test_blocks_refuse_bad_input():
    X, y, level = table(n=6)
    model = KINDS["personalised"](random_state=0)
    with pytest.raises(ValueError, match="at least one block, got none"):
        model.fit_blocks([])
    with pytest.raises(ValueError, match="blocks must have the same columns"):
        model.fit_blocks([(X[:3], y[:3], 1.0), (X[3:, :2], y[3:], 1.0)])
    with pytest.raises(ValueError, match="one level for each of the 3 records, got 2"):
        model.fit_blocks([(X[:3], y[:3], level[:2])])
    with pytest.raises(ValueError, match="alpha must be a finite number > 0"):
        PersonalizedRidge(0.0, **PUBLIC).fit_blocks([(X, y, level)])
