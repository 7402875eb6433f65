"""Regions, verdicts and what rounding may do to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.claims.rules import RULE_KINDS, VERDICTS, Rule

numbers = st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-3)


@pytest.mark.parametrize(
    ("mapping", "low", "high", "verdict"),
    [
        ({"above": 1}, 1.1, 1.3, "supported"),
        ({"above": 1}, 0.9, 1.3, "inconclusive"),
        ({"above": 1}, 0.2, 1.0, "not supported"),  # touching the border from below is not above it
        ({"above": 1}, 1.0, 1.3, "inconclusive"),
        ({"at_least": 1}, 1.0, 1.3, "supported"),
        ({"at_least": 1}, 0.2, 1.0, "inconclusive"),
        ({"at_least": 1}, 0.2, 0.9, "not supported"),
        ({"below": 1}, 0.2, 0.9, "supported"),
        ({"below": 1}, 0.2, 1.0, "inconclusive"),
        ({"below": 1}, 1.0, 1.3, "not supported"),
        ({"at_most": 1}, 0.2, 1.0, "supported"),
        ({"at_most": 1}, 1.0, 1.3, "inconclusive"),
        ({"at_most": 1}, 1.1, 1.3, "not supported"),
        ({"within": [-1, 1]}, -1.0, 1.0, "supported"),
        ({"within": [-1, 1]}, -1.2, 0.0, "inconclusive"),
        ({"within": [-1, 1]}, -3.0, 3.0, "inconclusive"),
        ({"within": [-1, 1]}, 1.1, 3.0, "not supported"),
        ({"outside": [-1, 1]}, 1.1, 3.0, "supported"),
        ({"outside": [-1, 1]}, -3.0, -1.1, "supported"),
        ({"outside": [-1, 1]}, -0.5, 1.0, "not supported"),
        ({"outside": [-1, 1]}, 0.5, 1.5, "inconclusive"),
        ({"outside": [-1, 1]}, -3.0, 3.0, "inconclusive"),
    ],
)
def test_decide_by_hand(mapping, low, high, verdict):
    assert Rule.from_mapping(mapping).decide(low, high) == verdict


@pytest.mark.parametrize("noise", [2.3e-16, -2.3e-16])
def test_rounding_does_not_carry_a_number_over_its_border(noise):
    value = 1 + noise
    assert Rule("above", (1.0,)).decide(value, value) == "not supported"
    assert Rule("below", (1.0,)).decide(value, value) == "not supported"
    assert Rule("at_most", (1.0,)).decide(value, value) == "supported"
    assert Rule("at_least", (1.0,)).decide(value, value) == "supported"
    assert Rule("above", (0.0,)).decide(noise, noise) == "not supported"


def test_rounding_slack_grows_with_a_large_border():
    value = 1e6 * (1 + 2.3e-16)
    assert value > 1e6
    assert Rule("above", (1e6,)).decide(value, value) == "not supported"


def test_rounding_slack_shrinks_with_a_small_border():
    # 1e-9 of 1e-9 is 1e-18: twice the border is still refused
    assert Rule("at_most", (1e-9,)).decide(2e-9, 2e-9) == "not supported"


@given(
    kind=st.sampled_from(RULE_KINDS), ends=st.tuples(numbers, numbers), borders=st.tuples(numbers, numbers)
)
def test_verdict_agrees_with_every_point_of_the_interval(kind, ends, borders):
    first, last = sorted(borders)
    if last - first < 1e-3:
        last = first + 1
    two = kind in ("within", "outside")
    rule = Rule(kind, (first, last) if two else (first,))
    low, high = sorted(ends)
    inside = {
        "above": lambda x: x > first, "at_least": lambda x: x >= first,
        "below": lambda x: x < first, "at_most": lambda x: x <= first,
        "within": lambda x: first <= x <= last, "outside": lambda x: not first <= x <= last,
    }[kind]  # fmt: skip
    # the truth can only change at the ends and just beside the borders
    points = [low, high] + [b + d for b in (first, last) for d in (-1e-4, 0, 1e-4) if low <= b + d <= high]
    answers = {inside(x) for x in points}
    if any(0 < abs(x - b) < 1e-6 for x in (low, high) for b in (first, last)):
        return  # rounding slack decides
    expected = "inconclusive" if len(answers) == 2 else "supported" if answers == {True} else "not supported"
    assert rule.decide(low, high) == expected


@given(low=numbers, width=st.floats(0, 5), kind=st.sampled_from(RULE_KINDS), shrink=st.floats(0, 1))
def test_a_shorter_interval_never_loses_a_verdict(low, width, kind, shrink):
    rule = Rule(kind, (-1.0, 1.0) if kind in ("within", "outside") else (0.5,))
    wide = rule.decide(low, low + width)
    narrow = rule.decide(low + shrink * width / 2, low + width - shrink * width / 2)
    assert wide == "inconclusive" or narrow == wide


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"above": 1.01}, "above 1.01"),
        ({"at_most": 1}, "at most 1"),
        ({"within": [0.95, 1.05]}, "between 0.95 and 1.05"),
        ({"outside": [-1, 1]}, "below -1 or above 1"),
    ],
)
def test_words_and_round_trip(mapping, words):
    rule = Rule.from_mapping(mapping)
    assert rule.words() == words
    assert rule.to_mapping() == mapping


def test_holds_needs_every_value():
    assert Rule("at_most", (1.0,)).holds([0.2, 1.0])
    assert not Rule("at_most", (1.0,)).holds([0.2, 1.1])


def test_the_four_verdicts():
    assert VERDICTS == ("supported", "not supported", "inconclusive", "not tested")


@pytest.mark.parametrize(
    ("kind", "bounds", "message"),
    [
        ("more", (1.0,), "kind is 'more', allowed: above, at_least"),
        ("above", (1.0, 2.0), r"bounds are \(1.0, 2.0\), need 1 finite"),
        ("within", (1.0,), r"bounds are \(1.0,\), need 2 finite"),
        ("within", (2.0, 1.0), "need the smaller first"),
        ("above", (float("nan"),), "need 1 finite"),
    ],
)
def test_impossible_rules_are_refused(kind, bounds, message):
    with pytest.raises(ValueError, match=message):
        Rule(kind, bounds)


@pytest.mark.parametrize(
    ("rule", "worst"),
    [
        (Rule("above", (0.0,)), 1.0),
        (Rule("at_least", (0.0,)), 1.0),
        (Rule("below", (9.0,)), 4.0),
        (Rule("at_most", (9.0,)), 4.0),
        (Rule("within", (0.0, 4.0)), 4.0),  # distances to the centre 2: 1, 0, 2
        (Rule("outside", (0.0, 4.0)), 2.0),
    ],
)
def test_worst_is_the_value_nearest_to_breaking_the_rule(rule, worst):
    assert rule.worst([1.0, 2.0, 4.0]) == worst
