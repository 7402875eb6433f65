"""scikit-learn's conventions: its own checks, pipelines, parameters, pickles."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from trustlib.pdp_op import (
    PersonalizedMean,
    PersonalizedRidge,
    PersonalizedStatisticsRidge,
    SampleDPRidge,
    UniformDPRidge,
)

# check_estimator calls fit(X, y), so the level stands in the constructor; its tables have no public domain, so what
# leaves the unit ball is projected onto it with a warning.
HONEST = {"x_norm": 1.0, "y_bound": 1.0, "epsilon": 1.0, "on_violation": "clip", "random_state": 0}
# Noise that vanishes and a domain that holds all of scikit-learn's tables: nothing is left of privacy.
LOUD = {"x_norm": 100.0, "y_bound": 1000.0, "epsilon": 1e9, "on_violation": "clip", "random_state": 0}

# What privacy forbids at any level: these two fit one object twice with one seed and want the same answer.
AGAIN = dict.fromkeys(
    ("check_fit_idempotent", "check_supervised_y_2d"),
    "a second fit is a second release; with the same noise, the two would reveal the difference of their solutions",
)
# What it forbids at epsilon = 1 beside that, and why.
FORBIDDEN = {
    **AGAIN,
    "check_regressors_train": (
        "asks for R^2 > 0.5 from 200 records; at epsilon = 1 the noise that hides one record hides that signal too"
    ),
}
RIDGES = (PersonalizedRidge, UniformDPRidge, SampleDPRidge)

pytestmark = pytest.mark.filterwarnings("ignore::trustlib.pdp_op.DomainWarning")


def failures(estimator, expected=None):
    """Names and errors of all checks that did not pass; a skip is not a failure."""
    found = check_estimator(estimator, expected_failed_checks=expected, on_fail=None, on_skip=None)
    passed = sum(result["status"] == "passed" for result in found)
    assert passed > 40
    return {r["check_name"]: r for r in found if r["status"] not in ("passed", "skipped")}


@pytest.mark.parametrize("kind", RIDGES)
def test_ridge_passes_every_check_that_privacy_allows(kind):
    found = failures(kind(1.0, **HONEST), FORBIDDEN)
    # exactly the listed ones fail: a check that passes after all must leave the list
    assert {name: r["status"] for name, r in found.items()} == dict.fromkeys(FORBIDDEN, "xfail")


@pytest.mark.parametrize("kind", RIDGES)
def test_ridge_passes_every_check_without_privacy(kind):
    found = failures(kind(1e-3, **LOUD), AGAIN)
    assert {name: r["status"] for name, r in found.items()} == dict.fromkeys(AGAIN, "xfail")


def test_mean_passes_every_check_that_privacy_allows():
    # one constant explains nothing, which its tags say, so no check asks for a score
    found = failures(PersonalizedMean(-1e4, 1e4, epsilon=1.0, random_state=0), AGAIN)
    assert {name: r["status"] for name, r in found.items()} == dict.fromkeys(AGAIN, "xfail")


def test_noisy_statistics_pass_every_check_that_privacy_allows():
    found = failures(PersonalizedStatisticsRidge(1.0, **HONEST), FORBIDDEN)
    assert {name: r["status"] for name, r in found.items()} == dict.fromkeys(FORBIDDEN, "xfail")


def table(n=20):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 0.7, size=(n, 2)), rng.uniform(-1, 1, n), rng.uniform(0.1, 1, n)


@pytest.mark.parametrize("kind", RIDGES)
def test_parameters_survive_clone_and_set_params(kind):
    model = kind(0.5, x_norm=1.0, y_bound=1.0, epsilon=np.array([0.1, 0.2]), bounds="paper", random_state=3)
    twin = clone(model)
    assert twin.get_params().keys() == model.get_params().keys()
    np.testing.assert_array_equal(twin.epsilon, model.epsilon)
    assert (twin.bounds, twin.alpha, twin.random_state) == ("paper", 0.5, 3)
    assert twin.set_params(alpha=2.0, bounds="tight").get_params()["alpha"] == 2.0
    with pytest.raises(ValueError, match="Invalid parameter 'lam'"):
        twin.set_params(lam=1.0)


@pytest.mark.parametrize("kind", RIDGES)
def test_pickles_predict_and_remember_what_was_spent(kind):
    X, y, level = table()
    model = kind(1.0, x_norm=1.0, y_bound=1.0, random_state=np.random.default_rng(0)).fit(X, y, epsilon=level)
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(model.predict(X), back.predict(X))
    spent = model.privacy_spent_
    np.testing.assert_allclose(back.fit(X, y, epsilon=level).privacy_spent_, 2 * spent)


def test_names_of_columns_are_kept_and_checked():
    X, y, level = table()
    frame = pd.DataFrame(X, columns=["age", "bmi"])
    model = PersonalizedRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0).fit(frame, y, epsilon=level)
    assert list(model.feature_names_in_) == ["age", "bmi"]
    np.testing.assert_array_equal(model.predict(frame), frame.to_numpy() @ model.coef_)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["bmi", "age"]])


def test_levels_reach_the_last_step_of_a_pipeline():
    X, y, level = table()
    model = PersonalizedRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0)
    pipeline = make_pipeline(FunctionTransformer(lambda x: x / 2), model)
    pipeline.fit(X, y, personalizedridge__epsilon=level)
    direct = clone(model).fit(X / 2, y, epsilon=level)
    np.testing.assert_array_equal(pipeline.predict(X), direct.predict(X / 2))


def test_levels_are_split_with_the_rows_where_metadata_is_routed():
    X, y, level = table()
    with sklearn.config_context(enable_metadata_routing=True):
        model = PersonalizedRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0).set_fit_request(epsilon=True)
        scores = cross_val_score(model, X, y, params={"epsilon": level}, cv=4)
    assert np.isfinite(scores).all()


def test_score_is_the_usual_coefficient_of_determination():
    X, y, level = table()
    model = PersonalizedRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0).fit(X, y, epsilon=level)
    residual = np.sum((y - model.predict(X)) ** 2)
    assert model.score(X, y) == pytest.approx(1 - residual / np.sum((y - y.mean()) ** 2))
