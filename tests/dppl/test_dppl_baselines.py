"""Baselines: what they spend, what they learn, and what noise does to them."""

import math

import numpy as np
import pytest

from trustlib.dppl import (
    ClassMeans,
    DPGlobalAdapt,
    DPLeastSquares,
    DPLinearProbe,
    NearestPublic,
    PrivacyBudget,
    class_scores,
)
from trustlib.dppl.baselines_least_squares import solve_clamped, symmetric_noise
from trustlib.privacy import ZCDP, ApproxDP, zcdp_epsilon

CLASSES = [0, 1, 2]
PRIVATE = (DPLinearProbe, DPGlobalAdapt, DPLeastSquares)


def blobs(n=600, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = np.eye(3)[y] + 0.2 * rng.standard_normal((n, 3))
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


@pytest.mark.parametrize("kind", PRIVATE)
def test_ledger_holds_the_budget_and_adds_up(kind):
    X, y = blobs()
    model = kind(PrivacyBudget(0.5), clip_norm=1.0)
    model.fit(X, y, classes=CLASSES, rng=np.random.default_rng(0))
    assert model.ledger_.to_zcdp().rho == pytest.approx(0.5)
    model.fit(X, y, classes=CLASSES, rng=np.random.default_rng(1))
    assert model.ledger_.to_zcdp().rho == pytest.approx(1.0)
    assert model.ledger_.relation == "add_remove"


@pytest.mark.parametrize("kind", PRIVATE)
def test_learns_at_a_loose_budget_and_nothing_from_permuted_labels(kind):
    X, y = blobs()
    test, truth = blobs(seed=1)
    dealt = np.random.default_rng(2).permutation(y)
    accuracy = []
    for labels in (y, dealt):
        model = kind(PrivacyBudget(50.0), clip_norm=1.0)
        model.fit(X, labels, classes=CLASSES, rng=np.random.default_rng(0))
        accuracy.append((model.predict(test) == truth).mean())
    assert accuracy[0] > 0.95
    assert accuracy[1] < 0.75


@pytest.mark.parametrize("kind", PRIVATE)
def test_noise_drowns_everything_at_a_tiny_budget(kind):
    """rho = 1e-8: the noise is thousands of times the signal of 600 rows, so over ten fits accuracy is chance."""
    X, y = blobs()
    found = []
    for seed in range(10):
        model = kind(PrivacyBudget(1e-8), clip_norm=1.0, **({} if kind is DPLeastSquares else {"steps": 5}))
        model.fit(X, y, classes=CLASSES, rng=np.random.default_rng(seed))
        found.append((model.predict(X) == y).mean())
    assert abs(np.mean(found) - 1 / 3) < 0.35  # a fit is 0 to 1 with sd below .35, the mean of ten below .11


@pytest.mark.parametrize("kind", PRIVATE)
def test_equal_generators_give_equal_weights_and_inputs_stay(kind):
    X, y = blobs()
    kept = X.copy()
    weights = [
        kind(PrivacyBudget(0.5), clip_norm=1.0)
        .fit(X, y, classes=CLASSES, rng=np.random.default_rng(seed))
        .weight_
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
    assert np.array_equal(X, kept)


def test_noise_multiplier_of_full_batches():
    """rho = T / (2 sigma^2): 40 steps at rho = .5 need sigma = sqrt(40)."""
    X, y = blobs()
    model = DPLinearProbe(PrivacyBudget(0.5), clip_norm=1.0, steps=40)
    model.fit(X, y, classes=CLASSES, rng=np.random.default_rng(0))
    assert model.noise_multiplier_ == pytest.approx(math.sqrt(40))
    assert len(model.accountant_.history) == 1  # one entry for equal steps
    assert model.accountant_.history[0] == (pytest.approx(math.sqrt(40)), 1.0, 40)


@pytest.mark.parametrize("kind", [DPLinearProbe, DPGlobalAdapt])
def test_opacus_accountant_agrees_with_the_ledger(kind):
    """Opacus converts its Renyi curve on a grid of orders, so it may be above the best conversion, hardly below it."""
    X, y = blobs()
    model = kind(PrivacyBudget(0.5), clip_norm=1.0).fit(X, y, classes=CLASSES, rng=np.random.default_rng(0))
    theirs = model.accountant_.get_epsilon(1e-5)
    ours = zcdp_epsilon(model.ledger_.to_zcdp().rho, delta=1e-5)
    assert ours <= theirs * (1 + 1e-6)
    assert theirs == pytest.approx(ours, rel=0.01)


def test_dp_accounting_agrees_with_the_ledgers():
    """The Gaussian steps of the probe, and the three releases of DP-LS, through Google's accountant."""
    accounting = pytest.importorskip("dp_accounting")
    X, y = blobs()
    probe = DPLinearProbe(PrivacyBudget(0.5), clip_norm=1.0, steps=40)
    squares = DPLeastSquares(PrivacyBudget(0.5), clip_norm=1.0)
    for model, count in ((probe, 40), (squares, 3)):
        model.fit(X, y, classes=CLASSES, rng=np.random.default_rng(0))
        accountant = accounting.rdp.RdpAccountant(list(np.linspace(1.05, 64, 2000)))
        accountant.compose(accounting.GaussianDpEvent(model.noise_multiplier_), count)
        ours = zcdp_epsilon(model.ledger_.to_zcdp().rho, delta=1e-5)
        assert accountant.get_epsilon(1e-5) == pytest.approx(ours, rel=1e-3)


def test_approximate_budget_lets_opacus_choose_the_noise():
    X, y = blobs()
    budget = ApproxDP(3.0, 1e-5)
    model = DPLinearProbe(budget, clip_norm=1.0, steps=20, sample_rate=0.2)
    model.fit(X, y, classes=CLASSES, rng=np.random.default_rng(0))
    assert model.accountant_.get_epsilon(1e-5) <= 3.0
    assert model.ledger_.total() == budget
    assert (model.predict(X) == y).mean() > 0.8


def test_global_adapt_splits_the_budget():
    X, y = blobs()
    model = DPGlobalAdapt(PrivacyBudget(1.0), clip_norm=1.0, steps=10, count_share=0.25)
    model.fit(X, y, classes=CLASSES, rng=np.random.default_rng(0))
    assert model.noise_multiplier_ == pytest.approx(math.sqrt(10 / 1.5))  # T / (2 rho (1 - share))
    assert model.upper_.shape == (10,)
    assert (model.upper_ > 0).all()
    assert [entry.budget for entry in model.ledger_.entries] == [ZCDP(0.75), ZCDP(0.25)]


def test_least_squares_against_a_plain_solution():
    """Without noticeable noise: theta_c = (A_c + alpha G + lambda I)^-1 b_c."""
    X, y = blobs()
    model = DPLeastSquares(PrivacyBudget(1e14), clip_norm=1.0, alpha=0.5)
    model.fit(X, y, classes=CLASSES, rng=np.random.default_rng(0))
    for c in CLASSES:
        rows = X[y == c]
        moment = rows.T @ rows + 0.5 * X.T @ X
        assert model.weight_[c] == pytest.approx(np.linalg.solve(moment, rows.sum(axis=0)), rel=1e-4)


def test_symmetric_noise_and_clamping():
    noise = symmetric_noise(200, 2.0, np.random.default_rng(0))
    assert np.array_equal(noise, noise.T)
    assert np.triu(noise).ravel()[np.triu(noise).ravel() != 0].std() == pytest.approx(
        2.0, rel=0.03
    )  # 20 100 draws
    # eigenvalues 3 and -5: the second is raised to 0 before lambda = 1 is added
    assert solve_clamped(np.diag([3.0, -5.0]), np.array([8.0, 2.0]), 1.0) == pytest.approx([2.0, 2.0])


def test_clipping_bounds_what_one_record_does():
    """A planted outlier of length 1e6 moves the sums by the clip norm at most."""
    X, y = blobs()
    outlier = X.copy()
    outlier[0] *= 1e6
    options = {"classes": CLASSES}
    for kind in (DPLeastSquares,):
        pair = [
            kind(PrivacyBudget(0.5), clip_norm=1.0).fit(v, y, **options, rng=np.random.default_rng(0)).weight_
            for v in (X, outlier)
        ]
        assert pair[0] == pytest.approx(pair[1])


def test_references_without_privacy():
    X, y = blobs()
    means = ClassMeans().fit(X, y, classes=CLASSES)
    nearest = NearestPublic().fit(X, y, X[::7], classes=CLASSES)
    assert means.ledger_ is None
    scores = class_scores(X, y, X[::7], classes=CLASSES, d_min=0.0, d_max=2.0)
    assert nearest.prototype_indices_.tolist() == scores.argmax(axis=1).tolist()
    for model in (means, nearest):
        assert (model.predict(X) == y).mean() > 0.95


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: DPLinearProbe(PrivacyBudget(1), clip_norm=0.0), "clip_norm"),
        (lambda: DPLinearProbe(PrivacyBudget(1), clip_norm=1.0, sample_rate=1.5), "sample_rate must lie in"),
        (lambda: DPGlobalAdapt(PrivacyBudget(1), clip_norm=1.0, count_share=1.0), "count_share"),
        (lambda: DPLeastSquares(PrivacyBudget(1), clip_norm=1.0, alpha=-1), "alpha must be"),
        (lambda: ClassMeans().predict([[1.0]]), "call fit first"),
        (lambda: ClassMeans().fit([[1.0], [2.0]], [0, 0], classes=[0, 1]), "no records"),
        (lambda: ClassMeans().fit([[1.0], [2.0]], [0, 0], classes=[0]), "at least two"),
        (lambda: NearestPublic().fit([[1.0], [2.0]], [0, 1], [[1.0, 2.0]], classes=[0, 1]), "dimensions"),
    ],
)
def test_errors_say_what_to_do(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_global_adapt_wants_zcdp():
    with pytest.raises(TypeError, match="PrivacyBudget"):
        DPGlobalAdapt(ApproxDP(1.0, 1e-5), clip_norm=1.0)
