"""Baselines: their arithmetic against plain loops, their noise, and their accounts against opacus and dp-accounting."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trustlib.dppl import (
    ClassMeans,
    DPGlobalAdapt,
    DPLeastSquares,
    DPLinearProbe,
    DPPrototypeMean,
    DPPrototypePublic,
    NearestPublic,
    NoiseFreeProbe,
    PrivacyBudget,
    fit_together,
)
from trustlib.dppl.baselines_least_squares import solve_clamped, symmetric_noise
from trustlib.privacy import ZCDP, ApproxDP

LOUD = PrivacyBudget(1e12)  # so much budget that the noise is gone
PROBES = (DPLinearProbe, DPGlobalAdapt)
PRIVATE = (*PROBES, DPLeastSquares)


def toy(n=300, d=4, classes=3, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return np.eye(d)[y] + spread * rng.standard_normal((n, d)), y


def softmax(scores):
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def plain_gradients(weight, bias, X, y):
    """Gradient of the cross-entropy of every record, one after the other: (n, C, d + 1)."""
    found = []
    for x, name in zip(X, y, strict=True):
        error = softmax((weight @ x + bias)[None])[0]
        error[name] -= 1
        found.append(np.outer(error, np.append(x, 1.0)))
    return np.array(found)


def test_dp_sgd_without_noise_is_the_plain_loop_over_clipped_gradients():
    X, y = toy(n=40)
    model = DPLinearProbe(LOUD, clip_norm=0.5, steps=4, learning_rate=2.0)
    model.fit(X, y, classes=range(3), rng=np.random.default_rng(0))
    weight, bias = np.zeros((3, 4)), np.zeros(3)
    for _ in range(4):
        gradients = plain_gradients(weight, bias, X, y)
        norms = np.linalg.norm(gradients.reshape(len(X), -1), axis=1)
        assert norms.max() > 0.5  # clipping matters
        mean = (gradients * np.minimum(1, 0.5 / norms)[:, None, None]).sum(axis=0) / len(X)
        weight, bias = weight - 2.0 * mean[:, :-1], bias - 2.0 * mean[:, -1]
    assert model.weight_ == pytest.approx(weight, abs=1e-4)
    assert model.bias_ == pytest.approx(bias, abs=1e-4)


@pytest.mark.parametrize("steps", [1, 25])
@pytest.mark.parametrize("clip_norm", [0.5, 1.0])
def test_the_closed_form_equals_opacus(steps, clip_norm):
    X, y = toy()
    budget = PrivacyBudget(1e24)  # noise below the last digit
    fits = {
        engine: DPLinearProbe(budget, clip_norm=clip_norm, steps=steps, learning_rate=2.0, engine=engine).fit(
            X, y, classes=range(3), rng=np.random.default_rng(0)
        )
        for engine in ("opacus", "closed_form")
    }
    ours, theirs = fits["closed_form"], fits["opacus"]
    # after one step from zero the layer is the mean clipped gradient times the learning rate
    assert ours.weight_ == pytest.approx(theirs.weight_, abs=steps * 2e-6)
    assert ours.bias_ == pytest.approx(theirs.bias_, abs=steps * 2e-6)
    assert ours.noise_multiplier_ == theirs.noise_multiplier_
    assert ours.ledger_.entries == theirs.ledger_.entries
    assert ours.accountant_.history == theirs.accountant_.history
    quiet = NoiseFreeProbe(clip_norm=clip_norm, steps=steps, learning_rate=2.0).fit(X, y, classes=range(3))
    assert quiet.weight_ == pytest.approx(ours.weight_, abs=1e-6)
    assert quiet.ledger_ is None


def test_fitting_together_is_fitting_each_with_the_same_draws():
    X, y = toy()
    for kind in PROBES:
        more = {"engine": "closed_form"} if kind is DPLinearProbe else {}
        options = [(0.5, 2.0), (0.5, 8.0), (50.0, 2.0)]

        def make(kind=kind, more=more, options=options):
            return [
                kind(PrivacyBudget(rho), clip_norm=0.7, steps=6, learning_rate=rate, sample_rate=0.5, **more)
                for rho, rate in options
            ]

        together, alone = make(), make()
        fit_together(together, X, y, classes=range(3), rng=np.random.default_rng(3))
        for one, other in zip(together, alone, strict=True):
            other.fit(X, y, classes=range(3), rng=np.random.default_rng(3))
            assert one.weight_ == pytest.approx(other.weight_, abs=1e-4)
            assert one.ledger_.entries == other.ledger_.entries


@pytest.mark.parametrize(
    "models",
    [
        [],
        [DPLinearProbe(LOUD, clip_norm=1.0, steps=steps) for steps in (1, 2)],
        [DPLinearProbe(LOUD, clip_norm=1.0), DPGlobalAdapt(LOUD, clip_norm=1.0)],
        [DPGlobalAdapt(LOUD, clip_norm=1.0, decay=decay) for decay in (0.1, 0.2)],
    ],
)
def test_only_probes_of_one_kind_are_fitted_together(models):
    X, y = toy()
    with pytest.raises(ValueError, match="models must be probes of one kind"):
        fit_together(models, X, y, classes=range(3), rng=np.random.default_rng(0))


def test_global_adapt_without_noise_is_the_plain_loop():
    X, y = toy(n=40)
    model = DPGlobalAdapt(LOUD, clip_norm=0.5, steps=5, learning_rate=2.0, upper=1.5, decay=0.2)
    model.fit(X, y, classes=range(3), rng=np.random.default_rng(0))
    weight, bias, upper, history = np.zeros((3, 4)), np.zeros(3), 1.5, []
    for _ in range(5):
        gradients = plain_gradients(weight, bias, X, y)
        norms = np.linalg.norm(gradients.reshape(len(X), -1), axis=1)
        factors = [0.5 / upper if norm <= upper else 0.5 / norm for norm in norms]
        mean = (gradients * np.array(factors)[:, None, None]).sum(axis=0) / len(X)
        weight, bias = weight - 2.0 * mean[:, :-1], bias - 2.0 * mean[:, -1]
        upper *= math.exp(-0.2 + float((norms > upper).mean()))
        history.append(upper)
    assert model.weight_ == pytest.approx(weight, abs=1e-4)
    assert model.bias_ == pytest.approx(bias, abs=1e-4)
    assert model.upper_ == pytest.approx(history, rel=1e-4)
    assert history[0] != history[-1]


def closed_form(budget, **options):
    return DPLinearProbe(budget, engine="closed_form", **options)


@pytest.mark.parametrize("kind", [*PROBES, closed_form])
def test_noise_of_the_first_step_has_the_stated_size(kind):
    # one step from zero: weight = -lr / n * (sum + noise). The clipped sum is the same in all fits, so the spread over
    # fits is lr / n * sigma * C. 600 fits * 5 coordinates: relative s.e. of a standard deviation 1 / sqrt(2 * 3000)
    X, y = toy(n=30)
    found = []
    for seed in range(600):
        model = kind(PrivacyBudget(0.02), clip_norm=0.7, steps=1, learning_rate=3.0)
        model.fit(X, y, classes=range(3), rng=np.random.default_rng(seed))
        found.append(np.append(model.weight_[0], model.bias_[0]))
    share = 0.9 if kind is DPGlobalAdapt else 1.0  # a tenth pays for the counts
    expected = 3.0 / 30 * 0.7 * math.sqrt(1 / (2 * 0.02 * share))
    spread = np.array(found).std(axis=0, ddof=1)
    assert float(np.sqrt((spread**2).mean())) == pytest.approx(expected, rel=5 / math.sqrt(6000))


@pytest.mark.parametrize("kind", [DPLinearProbe, closed_form])
def test_poisson_sampling_takes_every_record_with_the_stated_probability(kind):
    # gradients at zero are the same for all records here, so the first step counts who took part:
    # bias of class 0 after one step = lr / (q n) * count * (1 - 1 / 2) * clip factor
    n, q = 400, 0.25
    counts = []
    for seed in range(60):
        model = kind(LOUD, clip_norm=10.0, steps=1, learning_rate=1.0, sample_rate=q)
        model.fit(np.ones((n, 1)), np.zeros(n, int), classes=[0, 1], rng=np.random.default_rng(seed))
        counts.append(model.bias_[0] * q * n / 0.5)
    counts = np.array(counts)
    assert counts == pytest.approx(np.round(counts), abs=0.05)
    # mean of 60 binomials: s.e. sqrt(400 * .25 * .75 / 60) = 1.12; variance 75 with relative s.e. sqrt(2 / 59) = .18
    assert counts.mean() == pytest.approx(n * q, abs=5 * 1.12)
    assert counts.var(ddof=1) == pytest.approx(75, rel=5 * 0.18)


@pytest.mark.parametrize("kind", [*PROBES, closed_form])
def test_an_empty_batch_is_a_step_of_pure_noise(kind):
    model = kind(PrivacyBudget(1.0), clip_norm=1.0, steps=3, sample_rate=1e-6)
    model.fit(*toy(n=5), classes=range(3), rng=np.random.default_rng(0))
    assert np.abs(model.weight_).min() > 0


@pytest.mark.parametrize("rho", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("kind", PROBES)
def test_opacus_own_accountant_agrees_with_the_ledger(kind, rho):
    model = kind(PrivacyBudget(rho), clip_norm=1.0, steps=7)
    model.fit(*toy(), classes=range(3), rng=np.random.default_rng(0))
    assert model.ledger_.to_zcdp().rho == pytest.approx(rho)
    assert model.ledger_.relation == "add_remove"
    # opacus converts on a grid of orders, so it can only be a little larger than the best order
    theirs = model.accountant_.get_epsilon(delta=1e-5)
    ours = model.ledger_.to_zcdp().to_approx(delta=1e-5).epsilon
    assert ours - 1e-9 <= theirs <= 1.01 * ours


def test_at_epsilon_delta_opacus_chooses_the_noise_and_its_accountant_stays_below():
    model = DPLinearProbe(ApproxDP(2.0, 1e-5), clip_norm=1.0, steps=20, sample_rate=0.1)
    model.fit(*toy(), classes=range(3), rng=np.random.default_rng(0))
    assert 1.9 < model.accountant_.get_epsilon(delta=1e-5) <= 2.0
    assert model.ledger_.total() == ApproxDP(2.0, 1e-5)
    full = math.sqrt(20 / (2 * PrivacyBudget.from_approx(2.0, 1e-5, mechanism="any").rho))
    assert model.noise_multiplier_ < full / 2  # sampling amplifies


@pytest.mark.parametrize("rho", [0.005, 0.5, 5.0])
def test_all_methods_spend_the_same_rho_as_dp_accounting_counts_their_noise(rho):
    """The Gaussian events of every baseline, composed by dp-accounting, give no more than rho; and nearly all of it."""
    from dp_accounting import GaussianDpEvent, SelfComposedDpEvent
    from dp_accounting.rdp import RdpAccountant

    orders = np.array([1.5, 2.0, 4.0, 16.0, 64.0])

    def renyi(*events):
        accountant = RdpAccountant(orders)
        for event in events:
            accountant.compose(event)
        return np.array(accountant._rdp) / orders  # rho-zCDP: the divergence of order a is at most rho * a

    X, y = toy()
    budget, rng = PrivacyBudget(rho), np.random.default_rng(0)
    sgd = DPLinearProbe(budget, clip_norm=1.0, steps=9).fit(X, y, classes=range(3), rng=rng)
    adapt = DPGlobalAdapt(budget, clip_norm=1.0, steps=9).fit(X, y, classes=range(3), rng=rng)
    squares = DPLeastSquares(budget, clip_norm=1.0).fit(X, y, classes=range(3), rng=rng)
    repeated = {"sgd": SelfComposedDpEvent(GaussianDpEvent(sgd.noise_multiplier_), 9)}
    counts = math.sqrt(9 / (2 * rho * 0.1))
    events = {
        "sgd": [repeated["sgd"]],
        "adapt": [
            SelfComposedDpEvent(GaussianDpEvent(adapt.noise_multiplier_), 9),
            SelfComposedDpEvent(GaussianDpEvent(counts), 9),
        ],
        "squares": [SelfComposedDpEvent(GaussianDpEvent(squares.noise_multiplier_), 3)],
    }
    for name, parts in events.items():
        assert renyi(*parts) == pytest.approx(np.full(5, rho), rel=1e-9), name
    public = DPPrototypePublic(budget).fit(X, y, X, classes=range(3), rng=rng)
    mean = DPPrototypeMean(budget, estimator="naive", clip_norm=1.0).fit(X, y, classes=range(3), rng=rng)
    for model in (sgd, adapt, squares, public, mean):
        assert model.ledger_.to_zcdp().rho == pytest.approx(rho), type(model).__name__


def test_least_squares_without_noise_solves_the_normal_equations():
    X, y = toy(n=60)
    clip = 0.8
    model = DPLeastSquares(LOUD, clip_norm=clip, alpha=0.5)
    model.fit(X, y, classes=range(3), rng=np.random.default_rng(0))
    Z = np.array([x * min(1, clip / np.linalg.norm(x)) for x in X])
    common = sum(np.outer(z, z) for z in Z)
    for c in range(3):
        own = [z for z, name in zip(Z, y, strict=True) if name == c]
        moment = sum(np.outer(z, z) for z in own) + 0.5 * common + model.regularization_ * np.eye(4)
        assert model.weight_[c] == pytest.approx(np.linalg.solve(moment, sum(own)), rel=1e-3)


def test_least_squares_noise_is_symmetric_and_has_the_stated_size():
    noise = symmetric_noise(60, 2.0, np.random.default_rng(0))
    assert np.array_equal(noise, noise.T)
    # 60 * 61 / 2 = 1830 independent entries: relative s.e. 1 / sqrt(3660)
    assert noise[np.triu_indices(60)].std() == pytest.approx(2.0, rel=5 / math.sqrt(3660))
    model = DPLeastSquares(PrivacyBudget(0.5), clip_norm=2.0, alpha=1.0, regularization=3.0)
    model.fit(*toy(), classes=range(3), rng=np.random.default_rng(0))
    assert model.noise_multiplier_ == pytest.approx(math.sqrt(3))  # rho = 3 / (2 sigma^2) = 1 / 2
    assert model.regularization_ == pytest.approx(3 * 2 * math.sqrt(3) * 4 * math.sqrt(4 * 2))


def test_negative_directions_count_as_the_regularization():
    # eigenvalues 2 and -5 with lambda = 1: divided by 3 and by 1
    assert solve_clamped(np.diag([2.0, -5.0]), np.array([3.0, 3.0]), 1.0) == pytest.approx([1.0, 3.0])


def test_class_means_and_nearest_public_on_paper():
    X, y = [[2.0, 0.0], [0.0, 2.0], [0.0, -4.0]], ["a", "a", "b"]
    means = ClassMeans().fit(X, y, classes=["a", "b"])
    assert means.weight_ == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0.0, -1.0]]))
    assert means.predict([[3.0, 1.0], [0.0, -1.0]]).tolist() == ["a", "b"]
    pool = [[1.0, 0.0], [5.0, 5.0], [0.0, -0.1]]
    nearest = NearestPublic().fit(X, y, pool, classes=["a", "b"])
    assert nearest.prototype_indices_.tolist() == [1, 2]  # summed cosines of a: 1, 1.41, -1
    assert means.ledger_ is None
    assert nearest.ledger_ is None


def test_nearest_public_is_what_a_generous_selection_chooses():
    X, y = toy()
    pool, _ = toy(n=50, seed=3)
    best = NearestPublic().fit(X, y, pool, classes=range(3))
    drawn = DPPrototypePublic(PrivacyBudget(1e6)).fit(
        X, y, pool, classes=range(3), rng=np.random.default_rng(0)
    )
    assert drawn.prototype_indices_[:, 0].tolist() == best.prototype_indices_.tolist()


@pytest.mark.parametrize("kind", PRIVATE)
def test_a_control_without_signal_stays_at_chance_and_a_tight_budget_ruins_the_answer(kind):
    X, y = toy(n=600)
    rng = np.random.default_rng(0)
    good = kind(PrivacyBudget(1.0), clip_norm=1.0).fit(X, y, classes=range(3), rng=rng)
    assert (good.predict(X) == y).mean() > 0.9
    shares = []
    for _ in range(20):
        null = kind(PrivacyBudget(1e-9), clip_norm=1.0).fit(X, y, classes=range(3), rng=rng)
        shares.append((null.predict(X) == y).mean())
    # a random linear classifier is right in a third of the cases: s.d. at most .47, s.e. of 20 at most .11
    assert np.mean(shares) == pytest.approx(1 / 3, abs=0.33)


@pytest.mark.parametrize("kind", PRIVATE)
def test_equal_generators_give_equal_releases_and_two_fits_add_up(kind):
    X, y = toy()
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    kept = X.copy()
    fits = [
        kind(PrivacyBudget(0.5), clip_norm=1.0).fit(X, y, classes=range(3), rng=np.random.default_rng(7))
        for _ in range(2)
    ]
    assert np.array_equal(fits[0].weight_, fits[1].weight_)
    fits[0].fit(X, y, classes=range(3), rng=np.random.default_rng(8))
    assert not np.array_equal(fits[0].weight_, fits[1].weight_)
    assert fits[0].ledger_.to_zcdp().rho == pytest.approx(1.0)
    assert np.array_equal(X, kept)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002


def test_tensors_give_the_same_as_arrays():
    X, y = toy()
    fits = [
        DPLinearProbe(PrivacyBudget(0.5), clip_norm=1.0).fit(
            a, b, classes=range(3), rng=np.random.default_rng(7)
        )
        for a, b in ((X, y), (torch.from_numpy(X), torch.from_numpy(y)))
    ]
    assert np.array_equal(fits[0].weight_, fits[1].weight_)
    assert fits[0].predict(torch.from_numpy(X)).tolist() == fits[1].predict(X).tolist()


@pytest.mark.parametrize("kind", PRIVATE)
def test_permuted_labels_teach_nothing(kind):
    X, y = toy(n=600)
    dealt = np.random.default_rng(2).permutation(y)
    model = kind(PrivacyBudget(50.0), clip_norm=1.0)
    model.fit(X, dealt, classes=range(3), rng=np.random.default_rng(0))
    assert (model.predict(X) == y).mean() < 0.75  # each blob is named at random: 1 / 3 on average


def test_full_batches_have_the_noise_of_the_formula_and_one_entry_at_opacus():
    # rho = T / (2 sigma^2): 40 steps at rho = .5 need sigma = sqrt(40)
    model = DPLinearProbe(PrivacyBudget(0.5), clip_norm=1.0, steps=40)
    model.fit(*toy(), classes=range(3), rng=np.random.default_rng(0))
    assert model.accountant_.history == [(pytest.approx(math.sqrt(40)), 1.0, 40)]


def test_global_adapt_splits_the_budget():
    model = DPGlobalAdapt(PrivacyBudget(1.0), clip_norm=1.0, steps=10, count_share=0.25)
    model.fit(*toy(), classes=range(3), rng=np.random.default_rng(0))
    assert model.noise_multiplier_ == pytest.approx(math.sqrt(10 / 1.5))  # T / (2 rho (1 - share))
    assert [entry.budget for entry in model.ledger_.entries] == [ZCDP(0.75), ZCDP(0.25)]


@pytest.mark.parametrize("kind", [DPLinearProbe, DPLeastSquares])
def test_clipping_bounds_what_one_record_does(kind):
    """A record a million times longer moves what is released no more than its clipped version may."""
    X, y = toy()
    outlier = X.copy()
    outlier[0] *= 1e6
    pair = [
        kind(LOUD, clip_norm=1.0, **({"steps": 1} if kind is DPLinearProbe else {}))
        .fit(v, y, classes=range(3), rng=np.random.default_rng(0))
        .weight_
        for v in (X, outlier)
    ]
    limit = 8.0 * 2 / 300 if kind is DPLinearProbe else 0.05 * np.abs(pair[0]).max()
    assert np.abs(pair[0] - pair[1]).max() <= limit


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda X, y: DPLinearProbe(LOUD, clip_norm=0.0), ValueError, "clip_norm"),
        (lambda X, y: DPLinearProbe(LOUD, clip_norm=1.0, steps=0), ValueError, "steps must be at least 1"),
        (
            lambda X, y: DPLinearProbe(LOUD, clip_norm=1.0, sample_rate=1.5),
            ValueError,
            r"sample_rate .* \(0, 1\]",
        ),
        (
            lambda X, y: DPGlobalAdapt(ApproxDP(1.0, 1e-5), clip_norm=1.0),
            TypeError,
            "must be a PrivacyBudget",
        ),
        (
            lambda X, y: DPGlobalAdapt(LOUD, clip_norm=1.0, count_share=1.0),
            ValueError,
            "nothing would be left",
        ),
        (lambda X, y: DPLinearProbe(LOUD, clip_norm=1.0, engine="fast"), ValueError, "engine must be one of"),
        (lambda X, y: NoiseFreeProbe(clip_norm=-1.0), ValueError, "clip_norm"),
        (lambda X, y: DPLeastSquares(LOUD, clip_norm=1.0, alpha=-1.0), ValueError, "alpha"),
        (lambda X, y: DPLeastSquares(LOUD, clip_norm=1.0, regularization=0.0), ValueError, "regularization"),
        (lambda X, y: ClassMeans().predict(X), ValueError, "call fit first"),
        (lambda X, y: ClassMeans().fit(X, y, classes=range(4)), ValueError, "has no records"),
        (
            lambda X, y: ClassMeans().fit(X[:10], y, classes=range(3)),
            ValueError,
            "labels must have one label",
        ),
        (lambda X, y: ClassMeans().fit(X, y, classes=[0, 1]), ValueError, "labels must be among"),
        (lambda X, y: ClassMeans().fit(X, 0 * y, classes=[0]), ValueError, "at least two"),
        (lambda X, y: NearestPublic().fit(X, y, X[:, :2], classes=range(3)), ValueError, "4 dimensions"),
        (lambda X, y: NearestPublic().fit(X, y, 0 * X, classes=range(3)), ValueError, "no zero row"),
        (lambda X, y: NearestPublic().fit(X, y, X, classes=range(4)), ValueError, "one has none"),
        (lambda X, y: ClassMeans().fit(X * np.nan, y, classes=range(3)), ValueError, "finite"),
        (
            lambda X, y: DPLeastSquares(LOUD, clip_norm=1.0).fit(X, y, classes=range(3), rng=3),
            TypeError,
            "numpy.random.Generator",
        ),
    ],
)
def test_errors_say_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call(*toy())
