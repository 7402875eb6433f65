"""`check` and `not_tested`: the four verdicts, what controls do to them, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from trustlib.claims import check, load_claims, not_tested

SAMPLES = {"gain": [0.1, 0.12, 0.11], "loss_ratio": [0.2, 0.9]}
CONTROLS = {"shuffled": [-0.01, 0.0, 0.01], "broken": [0.4, 1.8]}


def test_supported_with_the_numbers_of_every_part(toy):
    assert (toy.verdict, toy.reason) == ("supported", None)
    gain = toy.part("gain")
    # mean 0.11, s = 0.01, half width 4.3027 * 0.01 / sqrt(3) = 0.02484
    assert gain.interval.estimate == pytest.approx(0.11)
    assert gain.interval.low == pytest.approx(0.11 - 0.02484, abs=1e-5)
    assert (gain.interval.n, gain.verdict) == (3, "supported")
    assert [(c.control.name, c.failed) for c in gain.controls] == [("shuffled", True)]
    worst = toy.part("loss_ratio")
    assert (worst.interval.estimate, worst.interval.low, worst.interval.high) == (0.9, 0.2, 0.9)
    assert worst.controls[0].interval.estimate == 1.8


@pytest.mark.parametrize(
    ("gain", "loss", "verdict"),
    [
        ([0.1, 0.12, 0.11], [0.2, 0.9], "supported"),
        ([0.1, 0.12, 0.11], [0.2, 1.1], "not supported"),  # one counter-example refutes an exact part
        ([-0.1, 0.12, 0.11], [0.2, 0.9], "inconclusive"),
        ([-0.1, -0.12, -0.11], [0.2, 0.9], "not supported"),
        ([-0.1, 0.12, 0.11], [0.2, 1.1], "not supported"),
    ],
)
def test_the_claim_is_as_good_as_its_worst_part(path, gain, loss, verdict):
    samples = {"gain": gain, "loss_ratio": loss}
    assert check("toy-1", samples, controls=CONTROLS, path=path).verdict == verdict


def test_a_control_that_does_not_fail_takes_the_support_away(path):
    found = check("toy-1", SAMPLES, controls={**CONTROLS, "broken": [0.4, 0.8]}, path=path)
    assert found.verdict == "inconclusive"
    assert found.part("loss_ratio").verdict == "supported"
    assert "The control broken came out supported too" in found.reason
    both = check("toy-1", SAMPLES, controls={"shuffled": [1, 1.1], "broken": 0.8}, path=path)
    assert "The controls shuffled, broken came out" in both.reason


def test_a_control_that_does_not_fail_cannot_rescue_or_soften_a_refutation(path):
    samples = {**SAMPLES, "loss_ratio": 1.2}
    found = check("toy-1", samples, controls={"shuffled": [1, 1.1], "broken": 0.8}, path=path)
    assert found.verdict == "not supported"


@pytest.mark.parametrize(("seen", "verdict"), [([1, 1, 0], "supported"), ([1, 0, 0], "inconclusive")])
def test_count_of_seeds(path, seen, verdict):
    found = check("toy-2", seen, controls=[0, 0, 0], path=path)
    assert found.verdict == verdict
    assert found.parts[0].interval.estimate == sum(seen)


def test_bootstrap_is_the_same_every_time_and_touches_no_global_state(path):
    samples = np.random.default_rng(0).normal(4, 1, size=12)
    nothing = np.random.default_rng(1).normal(0, 0.1, size=12)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (check("game-1", samples, controls=nothing, path=path) for _ in range(2))
    assert first.to_record() == second.to_record()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert first.verdict == "supported"


def test_parts_and_controls_are_resampled_independently(path):
    samples = np.random.default_rng(0).normal(4, 1, size=12)
    found = check("game-1", samples, controls=samples, path=path).parts[0]
    assert found.interval.low != found.controls[0].interval.low
    assert found.interval.low == pytest.approx(found.controls[0].interval.low, abs=0.1)


def test_samples_of_other_libraries(path):
    torch = pytest.importorskip("torch")
    found = check("toy-2", torch.tensor([True, True, False]), controls=torch.zeros(3), path=path)
    assert found.verdict == "supported"
    with pytest.raises(ValueError, match=r"got a Tensor that does not convert .* detach tensors"):
        check("toy-2", torch.ones(3, requires_grad=True), controls=torch.zeros(3), path=path)


def test_verdicts_follow_the_samples_without_jumps(path):
    # the gain moves from clearly negative to clearly positive: not supported, inconclusive, supported
    words = [
        check(
            "toy-1", {**SAMPLES, "gain": np.array([-0.1, 0.0, 0.1]) + shift}, controls=CONTROLS, path=path
        ).verdict
        for shift in np.linspace(-1, 1, 41)
    ]
    order = ["not supported", "inconclusive", "supported"]
    assert [w for i, w in enumerate(words) if i == 0 or w != words[i - 1]] == order


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"gain": [1, 2]}, "samples lacks loss_ratio; a claim is only decided with all of gain, loss_ratio"),
        (
            {**SAMPLES, "gian": [1]},
            r"samples has no key 'gian', did you mean gain\? allowed: gain, loss_ratio",
        ),
        ([1, 2], "samples is a bare array, but there are 2 of them: give a mapping with the keys gain, loss"),
        (
            {**SAMPLES, "gain": [1, np.nan, np.inf]},
            r"samples\['gain'\] has 2 of 3 values that are NaN or inf",
        ),
        ({**SAMPLES, "gain": [[1, 2], [3, 4]]}, r"samples\['gain'\] has shape \(2, 2\), need \(n,\)"),
        ({**SAMPLES, "gain": ["a"]}, r"samples\['gain'\] must be numbers, one per unit, got a list"),
        ({**SAMPLES, "gain": [1]}, r"samples\['gain'\] \(unit: seeds\): t needs at least 2 samples, got 1"),
        ({**SAMPLES, "gain": []}, r"samples\['gain'\] \(unit: seeds\): t needs at least 2 samples, got 0"),
    ],
)
def test_unusable_samples_are_refused(path, samples, message):
    with pytest.raises(ValueError, match=f"claim toy-1: {message}"):
        check("toy-1", samples, controls=CONTROLS, path=path)


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (None, "controls lacks shuffled, broken"),
        ({"shuffled": [0, 1]}, "controls lacks broken"),
        ({**CONTROLS, "other": [1]}, "controls has no key 'other', allowed: shuffled, broken"),
        ({**CONTROLS, "shuffled": 0.1}, r"controls\['shuffled'\] \(unit: seeds\): t needs at least 2"),
        ({**CONTROLS, "broken": np.inf}, r"controls\['broken'\] .* give a finite value that it exceeds"),
    ],
)
def test_unusable_controls_are_refused(path, controls, message):
    with pytest.raises(ValueError, match=f"claim toy-1: {message}"):
        check("toy-1", SAMPLES, controls=controls, path=path)


def test_what_cannot_be_tested_is_shown_not_checked(path):
    with pytest.raises(ValueError, match=r"toy-3 is not testable .* show it with not_tested\('toy-3'\)"):
        check("toy-3", [1.0], path=path)
    assert not_tested("toy-3", path=path).reason == "Priority is no experiment."
    assert not_tested("toy-2", path=path).reason == "The weights need 40 GB."
    assert not_tested("toy-2", "No GPU here.", path=path).reason == "No GPU here."
    assert not_tested("toy-2", path=path).verdict == "not tested"
    with pytest.raises(ValueError, match=r"claim toy-1 is tested according to .*: give the reason"):
        not_tested("toy-1", path=path)
    with pytest.raises(ValueError, match="claim 'toy-9' is not in"):
        not_tested("toy-9", path=path)


def test_asking_for_a_part_that_is_not_there(toy, path):
    with pytest.raises(ValueError, match="no result for a part 'gains'; it has: gain, loss_ratio"):
        toy.part("gains")
    with pytest.raises(ValueError, match="it has: none, because it was not tested"):
        not_tested("toy-3", path=path).part("gain")


@pytest.mark.parametrize("number", [n for n in range(1, 10) if n != 8])
def test_every_rule_of_pdp_op_separates_effect_from_no_effect(number, root):
    """For each claim: samples deep in the region support it; the same samples as controls take it away."""
    path = root / "book/claims.yml"
    claim = load_claims(path)[f"pdp_op-{number}"]
    inside = {"above": 1e3, "at_least": 1e3, "below": -1e3, "at_most": -1e3}
    good, bad = {}, {}
    for part in claim.parts:
        centre = inside.get(part.rule.kind, sum(part.rule.bounds) / 2)
        good[part.name] = np.full(20, centre)
        bad[part.name] = np.full(20, -centre if part.rule.kind in inside else centre + 1e3)
    nulls = {c.name: bad[c.part] for c in claim.controls}
    assert check(claim.id, good, controls=nulls, path=path).verdict == "supported"
    assert check(claim.id, bad, controls=nulls, path=path).verdict == "not supported"
    for control in claim.controls:
        spoiled = {**nulls, control.name: good[control.part]}
        assert check(claim.id, good, controls=spoiled, path=path).verdict == "inconclusive"
