"""The ledger: totals, parts, limits, tables, JSON, refusals."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.privacy import (
    ZCDP,
    ApproxDP,
    BudgetExceeded,
    GaussianDP,
    PersonalizedDP,
    PrivacyLedger,
    PureDP,
    group,
)


def spent(*budgets, **options):
    ledger = PrivacyLedger("substitution", unit="one person", **options)
    for index, budget in enumerate(budgets):
        ledger.spend(f"release {index}", budget, relation="substitution")
    return ledger


def by_class(*pairs, limit=None):
    ledger = PrivacyLedger("add_remove", unit="one image", parts="by_value", limit=limit)
    for part, budget in pairs:
        ledger.spend("release", budget, relation="add_remove", part=part)
    return ledger


def test_empty_ledger_has_no_total():
    ledger = spent()
    assert (ledger.total(), ledger.to_zcdp(), ledger.to_approx(delta=0.1)) == (None, None, None)
    assert len(ledger) == 0
    assert ledger.to_frame().empty


def test_totals_by_hand():
    assert spent(PureDP(0.5), PureDP(0.25)).total() == PureDP(0.75)
    assert spent(ZCDP(0.5), ZCDP(0.25)).total() == ZCDP(0.75)
    assert spent(GaussianDP(3.0), GaussianDP(4.0)).total() == GaussianDP(5.0)
    assert spent(PersonalizedDP([0.1, 1.0]), PersonalizedDP([0.2, 1.0])).total() == PersonalizedDP(
        [0.1 + 0.2, 2.0]
    )
    # two selections at epsilon 2 are 2-rho of 0.5 each, one Gaussian at mu 1 is 0.5
    ledger = spent(*[PureDP(2.0, bounded_range=True)] * 2, GaussianDP(1.0))
    assert ledger.to_zcdp() == ZCDP(1.5)
    assert ledger.total() == ZCDP(1.5)


def test_parts_compose_in_parallel_and_with_what_touched_all():
    ledger = by_class((None, PureDP(0.5)), ("cat", PureDP(1.0)), ("dog", PureDP(0.25)), ("dog", PureDP(0.5)))
    assert ledger.total() == PureDP(1.5)  # 0.5 + max(1.0, 0.25 + 0.5)
    assert ledger.to_zcdp().rho == pytest.approx(0.5 * math.tanh(0.25) + 1.0 * math.tanh(0.5))
    reverse = by_class(("dog", PureDP(0.25)), ("cat", PureDP(1.0)))
    assert reverse.to_zcdp() == PureDP(1.0).to_zcdp()
    assert reverse.to_approx(delta=1e-5) == PureDP(1.0).to_approx(delta=1e-5)
    one_part = spent(PureDP(0.5), PureDP(1.0))
    assert ledger.to_approx(delta=1e-5) == one_part.to_approx(delta=1e-5)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.01, 2.0)), min_size=1, max_size=8))
def test_parallel_total_is_the_worst_record_by_brute_force(releases):
    worst = max(sum(e for part, e in releases if part == record) for record in "abc")
    total = by_class(*[(part, PureDP(e)) for part, e in releases]).total()
    assert total.epsilon == pytest.approx(worst)


def test_parts_that_are_not_disjoint_are_not_assumed():
    # control: without parts the same releases add up
    assert spent(PureDP(1.0), PureDP(1.0)).total() == PureDP(2.0)
    assert by_class(("a", PureDP(1.0)), ("b", PureDP(1.0))).total() == PureDP(1.0)


def test_limit_refuses_and_records_nothing():
    ledger = spent(PureDP(0.6), limit=PureDP(1.0))
    with pytest.raises(
        BudgetExceeded, match=r"'model' would bring the total beyond the limit PureDP\(epsilon=1.0\)"
    ):
        ledger.spend("model", PureDP(0.5), relation="substitution")
    assert len(ledger) == 1
    assert ledger.total() == PureDP(0.6)
    ledger.spend("smaller model", PureDP(0.4), relation="substitution")
    assert ledger.total() == PureDP(1.0)


def test_limit_holds_for_every_part():
    ledger = by_class(("a", PureDP(1.0)), ("b", PureDP(1.0)), limit=PureDP(1.0))
    with pytest.raises(BudgetExceeded, match="of part 'a'"):
        ledger.spend("again", PureDP(0.1), relation="add_remove", part="a")
    with pytest.raises(BudgetExceeded):
        ledger.spend("on all", PureDP(0.1), relation="add_remove")
    ledger.spend("third class", PureDP(1.0), relation="add_remove", part="c")
    assert ledger.total() == PureDP(1.0)


def test_limit_in_pairs_uses_the_best_route():
    # 100 pure releases of 0.1 are 10-DP, but (5.22, 1e-6)-DP
    ledger = spent(*[PureDP(0.1)] * 100, limit=ApproxDP(5.3, 1e-6))
    assert len(ledger) == 100
    assert ledger.to_approx(delta=1e-6).epsilon <= 5.3
    with pytest.raises(BudgetExceeded):
        ledger.spend("more", PureDP(0.5), relation="substitution")


def test_limit_in_another_currency_is_refused_and_records_nothing():
    ledger = spent(limit=PureDP(1.0))
    with pytest.raises(ValueError, match="GaussianDP cannot be held against the limit"):
        ledger.spend("noise", GaussianDP(0.1), relation="substitution")
    assert len(ledger) == 0


def test_mixture_with_a_delta_has_a_total_only_at_a_delta():
    ledger = spent(ApproxDP(1.0, 1e-6), ZCDP(0.1))
    with pytest.raises(ValueError, match="share no currency without a delta"):
        ledger.total()
    assert ledger.to_approx(delta=1e-5).epsilon > 1.0


def test_relations_do_not_mix():
    ledger = spent(PureDP(0.5))
    with pytest.raises(
        ValueError, match=r"proved for the relation 'add_remove', this ledger counts 'substitution'"
    ):
        ledger.spend("count", PureDP(0.5), relation="add_remove")
    assert len(ledger) == 1
    ledger.spend("count", group(PureDP(0.5), size=2), relation="substitution")
    assert ledger.total() == PureDP(1.5)


def test_frame_by_hand():
    frame = spent(PersonalizedDP([0.5, 0.1]), ZCDP(0.25), ApproxDP(1.0, 0.5)).to_frame()
    assert frame["label"].tolist() == ["release 0", "release 1", "release 2"]
    assert frame["kind"].tolist() == ["PersonalizedDP", "ZCDP", "ApproxDP"]
    assert frame["part"].tolist() == ["all"] * 3
    numbers = frame[["epsilon", "epsilon_min", "delta", "rho", "mu"]].to_numpy()
    expected = [[0.5, 0.1, np.nan, np.nan, np.nan], [np.nan, np.nan, np.nan, 0.25, np.nan]]
    expected.append([1.0, np.nan, 0.5, np.nan, np.nan])
    np.testing.assert_array_equal(numbers, expected)
    assert frame.attrs == {"relation": "substitution", "unit": "one person"}


def test_json_round_trip_keeps_everything():
    ledger = by_class(
        (None, PureDP(1.0, bounded_range=True)), ("cat", PersonalizedDP([0.1, 0.2])), limit=PureDP(9.0)
    )
    again = PrivacyLedger.from_json(ledger.to_json())
    assert again.entries == ledger.entries
    assert (again.relation, again.unit, again.parts, again.limit) == (
        "add_remove",
        "one image",
        "by_value",
        PureDP(9.0),
    )
    assert again.total() == ledger.total()
    assert again.to_json() == ledger.to_json()


def test_json_beyond_its_own_limit_is_refused():
    content = json.loads(spent(PureDP(1.0), limit=PureDP(1.0)).to_json())
    content["entries"] *= 2
    with pytest.raises(BudgetExceeded):
        PrivacyLedger.from_json(json.dumps(content))


@pytest.mark.parametrize("text", ["[]", "{}", '{"relation": "substitution"}', "not json"])
def test_json_that_is_no_ledger_is_refused(text):
    with pytest.raises(ValueError, match=r"not a ledger as to_json writes it|Expecting value"):
        PrivacyLedger.from_json(text)


def test_entries_cannot_be_changed_from_outside():
    ledger = spent(PureDP(1.0))
    assert isinstance(ledger.entries, tuple)
    with pytest.raises(AttributeError):
        ledger.entries[0].budget = PureDP(0.1)
    assert repr(ledger) == "PrivacyLedger('substitution', unit='one person', releases=1)"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: PrivacyLedger("swap", unit="one person"),
            ValueError,
            "relation must be one of substitution, add_remove",
        ),
        (lambda: PrivacyLedger("add_remove", unit=" "), ValueError, "unit must say who is protected"),
        (
            lambda: PrivacyLedger("add_remove", unit="x", parts="disjoint"),
            ValueError,
            "parts must be one of fixed, by_",
        ),
        (lambda: PrivacyLedger("substitution", unit="x", parts="by_value"), ValueError, "two parts change"),
        (lambda: PrivacyLedger("zero_out", unit="x", parts="by_value"), ValueError, "two parts change"),
        (
            lambda: PrivacyLedger("add_remove", unit="x", limit=1.0),
            TypeError,
            "limit must be a budget or None, got 1.0",
        ),
        (lambda: spent(1.0), TypeError, "budget must be PureDP, .* got 1.0"),
        (
            lambda: spent(PersonalizedDP([1.0]), PersonalizedDP([1.0, 1.0])),
            ValueError,
            "2 records, earlier .* for 1",
        ),
        (
            lambda: spent().spend(3, PureDP(1.0), relation="substitution"),
            TypeError,
            "label and part must be text",
        ),
        (
            lambda: spent().spend("x", PureDP(1.0), relation="substitution", part="a"),
            ValueError,
            "composes everything sequentially",
        ),
    ],
)
def test_ledger_refuses(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_release_on_many_parts_is_recorded_whole_or_not_at_all():
    ledger = PrivacyLedger("add_remove", unit="one image", parts="by_value", limit=PureDP(1.5))
    ledger.spend("earlier", PureDP(1.0), relation="add_remove", part="dogs")
    with pytest.raises(BudgetExceeded, match="part 'dogs'"):
        ledger.spend_each("prototype", PureDP(1.0), relation="add_remove", parts=["cats", "dogs"])
    assert len(ledger) == 1
    ledger.spend_each("prototype", PureDP(0.5), relation="add_remove", parts=["cats", "dogs"])
    assert [e.part for e in ledger.entries] == ["dogs", "cats", "dogs"]
    assert ledger.total() == PureDP(1.5)  # dogs 1.0 + 0.5, cats 0.5
    for parts in ([], ["cats", "cats"]):
        with pytest.raises(ValueError, match="parts must name different parts"):
            ledger.spend_each("prototype", PureDP(0.1), relation="add_remove", parts=parts)


def test_release_on_all_data_counts_for_every_part_whenever_it_came():
    ledger = PrivacyLedger("add_remove", unit="one image", parts="by_value")
    ledger.spend("first", PureDP(0.5), relation="add_remove")
    ledger.spend_each("prototype", PureDP(1.0), relation="add_remove", parts=["cats", "dogs"])
    ledger.spend("last", PureDP(0.25), relation="add_remove")
    assert ledger.total() == PureDP(1.75)
