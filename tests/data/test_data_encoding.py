"""The design matrix: values, names, and bounds that hold for every row the ranges allow."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder

from trustlib import data
from trustlib.data import Table, category, encode_table, number

COLUMNS = {
    "x": number(0, 10),
    "c": category("a", "b", "c"),
    "skip": number(0, 1, role="excluded"),
    "z": number(-1, 1),
    "b": category("no", "yes"),
    "y": number(0, 100, role="target"),
}
OPTIONS = [
    {"one_hot": one_hot, "intercept": intercept, "centre": centre}
    for one_hot, intercept, centre in itertools.product(["full", "reduced"], [False, True], [False, True])
]


def table_of(*rows, columns=COLUMNS):
    return Table(pd.DataFrame(rows, columns=list(columns)), columns)


def corners(columns):
    """Every row whose numbers are at an end of their range."""
    values = [c.categories if c.kind == "category" else c.limits for c in columns.values()]
    return table_of(*itertools.product(*values), columns=columns)


def test_values_by_hand():
    design = encode_table(table_of([5, "b", 0, 0.5, "yes", 25], [20, "a", 0, -1, "no", -3]), intercept=True)
    assert design.feature_names == ("x", "c=a", "c=b", "c=c", "z", "b=no", "b=yes", "intercept")
    # x: 5/10, 20 clipped to 10/10. z: (0.5 + 1)/2 = 0.75. y: 25/100, -3 clipped to 0.
    np.testing.assert_array_equal(design.X, [[0.5, 0, 1, 0, 0.75, 0, 1, 1], [1, 1, 0, 0, 0, 1, 0, 1]])
    np.testing.assert_array_equal(design.y, [0.25, 0.0])
    assert design.clipped == {"x": 1, "y": 1}
    assert design.row_norm_bound == math.sqrt(5)  # x, c, z, b and the intercept: 1 each
    assert design.y_bound == 1.0
    assert not design.leaks


def test_reduced_values_by_hand():
    design = encode_table(table_of([5, "b", 0, 0.5, "yes", 25], [0, "a", 0, -1, "no", 0]), one_hot="reduced")
    assert design.feature_names == ("x", "c=b", "c=c", "z", "b=yes")
    np.testing.assert_array_equal(design.X, [[0.5, 1, 0, 0.75, 1], [0, 0, 0, 0, 0]])
    assert design.row_norm_bound == 2.0


def test_centred_values_by_hand():
    rows = [5, "b", 0, 0.5, "yes", 25], [0, "a", 0, -1, "no", 100]
    full = encode_table(table_of(*rows), centre=True)
    # x - 1/2; c - 1/3 (three unit vectors); z - 1/2; b - 1/2 (two unit vectors).
    third = 1 / 3
    expected = [
        [0, -third, 1 - third, -third, 0.25, -0.5, 0.5],
        [-0.5, 1 - third, -third, -third, -0.5, 0.5, -0.5],
    ]
    np.testing.assert_allclose(full.X, expected, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(full.y, [-0.25, 0.5])
    # 1/4 + (1 - 1/3) + 1/4 + (1 - 1/2)
    assert full.row_norm_bound == pytest.approx(math.sqrt(5 / 3), rel=1e-15)
    assert full.y_bound == 0.5
    reduced = encode_table(table_of(*rows), one_hot="reduced", centre=True)
    # c: origin and two unit vectors, all within sqrt(1/2) of (1/2, 1/2); b: 0 or 1, within 1/2 of 1/2.
    np.testing.assert_array_equal(reduced.X, [[0, 0.5, -0.5, 0.25, 0.5], [-0.5, -0.5, -0.5, -0.5, -0.5]])
    assert reduced.row_norm_bound == pytest.approx(math.sqrt(1 / 4 + 1 / 2 + 1 / 4 + 1 / 4), rel=1e-15)


def test_insurance_bounds_by_hand():
    table = data.load_table("insurance_like", n=4)
    # Three numbers, three groups, one intercept, whatever the width of the groups.
    assert encode_table(table, intercept=True).row_norm_bound == pytest.approx(math.sqrt(7), rel=1e-15)
    assert encode_table(table, intercept=True).X.shape == (4, 12)
    assert encode_table(table, one_hot="reduced", intercept=True).X.shape == (4, 9)
    # Reduced and centred: 3/4 for numbers, 1/4 each for sex and smoker, 2/3 for region, 1 for the intercept.
    design = encode_table(table, one_hot="reduced", intercept=True, centre=True)
    assert design.row_norm_bound == pytest.approx(math.sqrt(3 / 4 + 2 / 4 + 2 / 3 + 1), rel=1e-15)


@pytest.mark.parametrize("options", OPTIONS)
def test_bound_is_attained_by_the_worst_row_and_never_exceeded(options):
    design = encode_table(corners(COLUMNS), **options)
    assert np.linalg.norm(design.X, axis=1).max() == pytest.approx(design.row_norm_bound, rel=1e-14)
    assert np.abs(design.y).max() == design.y_bound


@pytest.mark.parametrize("options", OPTIONS)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(-1e6, 1e6), st.sampled_from("abc"), st.just(0), st.floats(-1e6, 1e6),
            st.sampled_from(["no", "yes"]), st.floats(-1e6, 1e6),
        ),
        min_size=1,
        max_size=12,
    )
)  # fmt: skip
def test_bounds_hold_for_wild_rows_and_rows_do_not_see_each_other(options, rows):
    table = table_of(*rows)
    design = encode_table(table, **options)
    assert np.linalg.norm(design.X, axis=1).max() <= design.row_norm_bound * (1 + 1e-14)
    assert np.abs(design.y).max() <= design.y_bound
    alone = [encode_table(table_of(row), **options) for row in rows]
    np.testing.assert_array_equal(design.X, np.vstack([one.X for one in alone]))
    np.testing.assert_array_equal(design.y, np.concatenate([one.y for one in alone]))
    assert sum(design.clipped.values()) == sum(sum(one.clipped.values()) for one in alone)


@pytest.mark.parametrize("one_hot", ["full", "reduced"])
@pytest.mark.parametrize("k", [2, 3, 4, 7])
def test_no_other_centre_of_a_group_gives_a_smaller_bound(one_hot, k):
    columns = {"c": category(*"abcdefg"[:k]), "y": number(0, 1, role="target")}
    plain = encode_table(corners(columns), one_hot=one_hot)
    bound = encode_table(corners(columns), one_hot=one_hot, centre=True).row_norm_bound
    points = np.unique(plain.X, axis=0)
    rng = np.random.default_rng(k)
    others = rng.normal(0.3, 0.5, size=(4000, points.shape[1]))
    radii = np.linalg.norm(points[None] - others[:, None], axis=2).max(axis=1)
    assert radii.min() >= bound
    assert bound < plain.row_norm_bound


@pytest.mark.parametrize(("one_hot", "drop"), [("full", None), ("reduced", "first")])
def test_indicators_agree_with_scikit_learn(one_hot, drop):
    table = data.load_table("insurance_like", n=200, seed=5)
    names = ["sex", "smoker", "region"]
    categories = [list(table.columns[name].categories) for name in names]
    encoder = OneHotEncoder(categories=categories, drop=drop, sparse_output=False)
    expected = encoder.fit_transform(table.frame[names])
    design = encode_table(table, one_hot=one_hot)
    chosen = [k for name in names for k, f in enumerate(design.feature_names) if f.startswith(name + "=")]
    np.testing.assert_array_equal(design.X[:, chosen], expected)


def test_centring_only_shifts():
    table = data.load_table("insurance_like", n=50)
    plain, centred = encode_table(table, intercept=True), encode_table(table, intercept=True, centre=True)
    shift = plain.X - centred.X
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), rtol=0, atol=1e-15)
    assert shift[0, -1] == 0  # the intercept stays
    np.testing.assert_array_equal(plain.y - centred.y, 0.5)


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("ranges", ["public", "observed"])
def test_target_maps_back_to_its_own_unit(centre, ranges):
    table = data.load_table("insurance_like", n=50)
    design = encode_table(table, centre=centre, ranges=ranges)
    np.testing.assert_allclose(design.target(design.y), table.frame["charges"], rtol=1e-12)


def test_observed_ranges_span_the_unit_interval_and_are_marked_as_leaking():
    table = data.load_table("insurance_like", n=50)
    design = encode_table(table, ranges="observed", intercept=True)
    numbers = [design.feature_names.index(name) for name in ("age", "bmi", "children")]
    assert design.X[:, numbers].min(axis=0).tolist() == [0, 0, 0]
    assert design.X[:, numbers].max(axis=0).tolist() == [1, 1, 1]
    assert (design.y.min(), design.y.max()) == (0, 1)
    assert design.target_range == (table.frame["charges"].min(), table.frame["charges"].max())
    assert design.leaks
    assert (design.ranges, design.clipped) == ("observed", {})


def test_observed_ranges_depend_on_other_rows_which_is_the_leak():
    # Planted violation of "rows do not see each other": without it the test above on wild rows would be empty.
    near, far = [5, "a", 0, 0, "no", 5], [9, "a", 0, 1, "no", 9]
    low, other = [0, "a", 0, -1, "no", 0], [1, "a", 0, -0.5, "no", 1]
    first = encode_table(table_of(near, low, far), ranges="observed").X[0]
    second = encode_table(table_of(near, other, far), ranges="observed").X[0]
    assert not np.array_equal(first, second)


def test_input_is_not_changed():
    table = table_of([50, "b", 0, 0.5, "yes", 25])
    before = table.frame.copy(deep=True)
    encode_table(table, centre=True)
    assert table.frame.equals(before)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_missing_and_infinite_values_are_refused(value):
    with pytest.raises(ValueError, match="column 'x' of table has 1 missing or infinite values"):
        encode_table(table_of([value, "b", 0, 0.5, "yes", 25], [1, "b", 0, 0.5, "yes", 25]))


def test_missing_values_of_excluded_columns_do_not_matter():
    assert encode_table(table_of([1, "b", None, 0.5, "yes", 25])).X.shape == (1, 7)


@pytest.mark.parametrize("value", ["d", "A", None])
def test_unknown_categories_are_refused(value):
    with pytest.raises(
        ValueError, match=r"column 'c' of table has values outside its public categories.*Add them"
    ):
        encode_table(table_of([1, value, 0, 0.5, "yes", 25]))


def test_wrong_arguments_are_refused():
    table = table_of([1, "a", 0, 0.5, "yes", 25])
    with pytest.raises(ValueError, match=r"one_hot must be one of \('full', 'reduced'\), got 'none'"):
        encode_table(table, one_hot="none")
    with pytest.raises(ValueError, match=r"ranges must be one of \('public', 'observed'\), got 'private'"):
        encode_table(table, ranges="private")
    with pytest.raises(TypeError, match="needs a Table, got DataFrame"):
        encode_table(table.frame)
    with pytest.raises(ValueError, match="observed range is empty"):
        encode_table(table, ranges="observed")


def test_tables_without_rows_features_or_a_number_to_predict_are_refused():
    with pytest.raises(ValueError, match="has no rows"):
        encode_table(table_of())
    with pytest.raises(ValueError, match="no column with role='feature'"):
        encode_table(table_of([1], columns={"y": number(0, 1, role="target")}))
    columns = {"x": number(0, 1), "y": category("a", "b", role="target")}
    with pytest.raises(ValueError, match="target 'y' is a category"):
        encode_table(table_of([1, "a"], columns=columns))


@pytest.mark.realdata
@pytest.mark.usefixtures("fresh")
def test_published_preprocessing_of_the_insurance_table(real_data, monkeypatch):
    from sklearn.model_selection import train_test_split

    if not (real_data / "tabular/insurance.csv").is_file():
        pytest.skip("real data: insurance is not under TRUSTLIB_DATA")
    monkeypatch.setenv("TRUSTLIB_DATA", str(real_data))
    design = encode_table(data.load_table("insurance"), intercept=True, ranges="observed")
    assert design.X.shape == (1338, 12)
    train, test = train_test_split(np.arange(1338), test_size=0.2, random_state=21)
    assert (len(train), len(test)) == (1070, 268)
    coefficients = np.linalg.lstsq(design.X[train], design.y[train], rcond=None)[0]
    loss = ((design.X[test] @ coefficients - design.y[test]) ** 2).mean()
    assert round(loss, 4) == 0.0094  # least squares in the authors' result files
