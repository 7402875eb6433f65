"""Parameters: what a cell declares, which values it takes, what a person may type."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trustlib.runs import (
    Interval,
    Parameter,
    ParameterError,
    check_parameters,
    check_values,
    parse_declarations,
    parse_value,
    read_parameters,
)
from trustlib.runs.parameters import load_yaml, seeds_of

CELL = """
# what a reader may vary
seed = 0  # int: seed of everything
epsilon = 1  # float, in (0, 1]: privacy budget
n_splits = 5  # int >= 2, random splits
bounds = "paper"  # one of: "paper", "tight": which bound
          # on the targets
levels = [0.1, 1]  # list of float, in (0, inf): budgets
methods = ["a", "b"]  # list, each one of: "a", "b", "c"
limit = None  # int or None: no limit
weights = {"a": 1}
verbose = False
"""


@pytest.fixture
def declared() -> dict[str, Parameter]:
    return parse_declarations(CELL)


def test_declarations_read_names_types_choices_and_ranges(declared):
    assert list(declared) == [
        "seed", "epsilon", "n_splits", "bounds", "levels", "methods", "limit", "weights", "verbose",
    ]  # fmt: skip
    assert [p.type_name for p in declared.values()] == [
        "int", "float", "int", "str", "list of float", "list of str", "int or None", "dict", "bool",
    ]  # fmt: skip
    assert declared["bounds"].choices == ("paper", "tight")
    assert declared["bounds"].doc.endswith("which bound on the targets")
    assert declared["methods"].choices == ("a", "b", "c")
    assert declared["epsilon"].interval == Interval(0.0, 1.0, low_open=True)
    assert declared["n_splits"].interval == Interval(low=2.0)
    assert declared["levels"].interval == Interval(0.0, math.inf, low_open=True, high_open=True)


@pytest.mark.parametrize(
    ("comment", "interval"),
    [
        ("float, > 0, <= 1: rate", Interval(0.0, 1.0, low_open=True)),
        ("in [-1e-3, 2)", Interval(-1e-3, 2.0, high_open=True)),
        ("years, in [1, 5]", Interval(1.0, 5.0)),
        ("rate: values > 1 are odd", None),  # prose behind the colon states no range
        ("", None),
    ],
)
def test_range_is_read_from_the_comment(comment, interval):
    assert parse_declarations(f"x = 1.0  # {comment}")["x"].interval == interval


def test_a_comment_at_the_margin_does_not_belong_to_the_line_above():
    declared = parse_declarations("a = 1\n# int, in [5, 9]: about b\nb = 7")
    assert declared["a"].interval is None


def test_list_over_several_lines_takes_the_comment_of_any_of_them():
    declared = parse_declarations("levels = [  # list of float: budgets\n    1,\n    2,\n]")
    assert declared["levels"].check([3]) == [3.0]


@pytest.mark.parametrize(
    ("cell", "match"),
    [
        ("import os", r"may only assign literals.*line 1 is `import os`"),
        ("x = 1\ny = x + 1", r"line 2 is `y = x \+ 1`"),
        ("a, b = 1, 2", "one name per line"),
        ("x = 1\nx = 2", "assigns 'x' twice"),
        ('bounds = "foo"  # one of: "paper", "tight"', "'bounds' contradicts its comment.*'paper', 'tight'"),
        ("x = 2  # in [0, 1]", r"'x' contradicts its comment.*\[0, 1\]"),
        ("x = 'a'  # int: count", "must be int"),
        ('bounds = "paper"  # one of: paper, tight', "choices of 'bounds' must be literals"),
        ("x = (", "not plain Python"),
    ],
)
def test_declarations_refuse(cell, match):
    with pytest.raises(ParameterError, match=match):
        parse_declarations(cell)


def test_check_accepts_int_for_float_and_nothing_lossy(declared):
    checked = check_values({"epsilon": 1, "levels": [1, 2.5], "limit": None}, declared)
    assert checked == {"epsilon": 1.0, "levels": [1.0, 2.5], "limit": None}
    assert isinstance(checked["epsilon"], float)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"epsilom": 1.0}, r"'epsilom'.*did you mean 'epsilon'\?.*seed, epsilon, n_splits"),
        ({"zzz": 1.0}, r"No parameter is called 'zzz' \(from a test\); Parameters: seed"),
        ({"seed": 1.0}, r"'seed' must be int \(default 0\), got 1.0 of type float"),
        ({"seed": True}, "got True of type bool"),
        ({"seed": None}, "got None"),
        ({"epsilon": 0.0}, r"'epsilon' must lie in \(0, 1\], got 0.0"),
        ({"epsilon": math.nan}, "must be float"),
        ({"n_splits": 1}, r"\[2, inf\]"),
        ({"bounds": "foo"}, "choose one of: 'paper', 'tight'"),
        ({"levels": [0.1, "a"]}, "must be list of float"),
        ({"levels": [0.1, -1]}, "got -1.0"),
        ({"levels": 0.1}, "must be list of float"),
        ({"methods": ["a", "z"]}, "'z'; choose one of: 'a', 'b', 'c'"),
        ({"verbose": 1}, "must be bool"),
    ],
)
def test_check_refuses(declared, values, match):
    with pytest.raises(ParameterError, match=match):
        check_values(values, declared, origin="a test")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", 7),
        ("seed", "1_000", 1000),
        ("epsilon", "1e-3", 1e-3),
        ("epsilon", "1", 1.0),
        ("bounds", "tight", "tight"),
        ("bounds", '"tight"', "tight"),
        ("levels", "[0.1, 1e-3]", [0.1, 1e-3]),
        ("levels", "0.1,1,10", [0.1, 1.0, 10.0]),
        ("levels", "2", [2.0]),
        ("methods", "a,c", ["a", "c"]),
        ("methods", '["b"]', ["b"]),
        ("limit", "None", None),
        ("limit", "5", 5),
        ("weights", '{"b": 2.5}', {"b": 2.5}),
        ("weights", "{b: 1e-2}", {"b": 0.01}),
        ("verbose", "true", True),
        ("verbose", "No", False),
    ],
)
def test_typed_text_is_read_as_the_declared_type(declared, name, text, value):
    read = parse_value(text, declared[name])
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("seed", "x", "'seed' must be int, cannot read 'x'"),
        ("seed", "1.5", "must be int"),
        ("verbose", "maybe", "must be bool"),
        ("verbose", "", "must be bool"),
        ("levels", "[1", "cannot read"),
        ("bounds", "foo", "'paper', 'tight'"),
    ],
)
def test_typed_text_that_does_not_read_is_refused(declared, name, text, match):
    with pytest.raises(ParameterError, match=match):
        parse_value(text, declared[name])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_any_list_survives_being_typed(values):
    assert parse_value(repr(values), Parameter("x", [1.0], "list", "float")) == values


@given(st.floats(allow_nan=False), st.booleans(), st.booleans())
def test_interval_holds_its_ends_exactly_when_closed(end, low_open, high_open):
    # [end, end] holds its only point if both ends are closed, nothing otherwise
    assert (end in Interval(end, end, low_open, high_open)) == (not low_open and not high_open)


def test_yaml_numbers_with_exponents_are_numbers():
    assert yaml.safe_load("1e-3") == "1e-3"  # the trap: plain YAML 1.1 reads text
    assert load_yaml("1e-3") == 0.001
    assert load_yaml("[5E+2, e5]") == [500.0, "e5"]


def test_read_parameters_needs_at_most_one_tagged_cell():
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "a = 1"}
    assert read_parameters({"cells": []}) == {}
    with pytest.raises(ParameterError, match="chapter has 2 cells tagged 'parameters'"):
        read_parameters({"cells": [cell, cell]}, name="chapter")


def test_seeds_are_found_by_name():
    assert seeds_of({"seed": 1, "seeds": [1, 2], "data_seed": 3, "seeded": True}) == {
        "seed": 1,
        "seeds": [1, 2],
        "data_seed": 3,
    }


SOURCE = 'n = 3  # int, in [1, 9]\nbounds = "paper"  # one of: "paper", "tight"'
CALL = "check_parameters(globals())"


def test_check_parameters_returns_what_the_notebook_uses():
    namespace = {"In": ["", "import os", SOURCE, "# Parameters\nn = 4", CALL], "n": 4, "bounds": "paper"}
    assert check_parameters(namespace) == {"n": 4, "bounds": "paper"}


@pytest.mark.parametrize(
    ("history", "n", "bounds", "match"),
    [
        (["# Parameters\nbounds = 'foo'"], 3, "foo", "choose one of: 'paper', 'tight'"),
        (["# Parameters\nm = 3"], 3, "paper", "'m' .from the injected cell.*Parameters: n, bounds"),
        (["# Parameters\nn = float('inf')"], 3, "paper", "must be int"),
        (["n = n + 7"], 10, "paper", r"must lie in \[1, 9\], got 10"),
    ],
)
def test_check_parameters_refuses(history, n, bounds, match):
    with pytest.raises(ParameterError, match=match):
        check_parameters({"In": ["", SOURCE, *history, CALL], "n": n, "bounds": bounds})


def test_check_parameters_follows_an_edited_cell_and_ignores_other_literals():
    edited = SOURCE.replace("[1, 9]", "[1, 99]")
    namespace = {"In": ["", SOURCE, "x = 'y'  # int", edited, CALL], "n": 50, "bounds": "paper", "x": "y"}
    assert check_parameters(namespace)["n"] == 50


def test_check_parameters_needs_a_notebook():
    with pytest.raises(ParameterError, match=r"no executed cell.*globals\(\)"):
        check_parameters({"n": 3})
