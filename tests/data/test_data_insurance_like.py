"""The generated table: stable rows, public ranges, and the relations its documentation promises."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib import data
from trustlib.data.insurance_like import insurance_like, reference_fingerprint
from trustlib.data.schemas import INSURANCE


@pytest.fixture(scope="module")
def many():
    return insurance_like(40_000, seed=7)


def test_default_size_is_that_of_the_real_table():
    frame = insurance_like()
    assert frame.shape == (1338, 7)
    assert list(frame.columns) == list(INSURANCE)
    assert frame.equals(insurance_like(1338, seed=0))


@given(short=st.integers(1, 60), more=st.integers(0, 60), seed=st.integers(0, 2**40))
def test_row_depends_on_seed_and_position_only(short, more, seed):
    assert insurance_like(short, seed=seed).equals(insurance_like(short + more, seed=seed).head(short))


def test_seeds_give_different_rows():
    first, second = insurance_like(500, seed=0), insurance_like(500, seed=1)
    # Charges are in cents, so equal values are rare accidents.
    assert (first["charges"] == second["charges"]).mean() < 0.01


@given(n=st.integers(1, 300), seed=st.integers(0, 2**40))
def test_values_stay_in_the_public_ranges(n, seed):
    frame = insurance_like(n, seed=seed)
    for name, column in INSURANCE.items():
        if column.kind == "number":
            assert frame[name].between(*column.limits).all()
        else:
            assert set(frame[name]) <= set(column.categories)


def test_nothing_is_clipped_and_every_category_occurs():
    table = data.load_table("insurance_like")
    assert data.encode_table(table).clipped == {}
    for name, column in table.columns.items():
        if column.kind == "category":
            assert set(table.frame[name]) == set(column.categories)


def test_shares_are_those_of_the_documentation(many):
    # Standard error of a share of 40 000 rows is at most sqrt(1/4 / 40000) = 0.0025; four of them.
    tolerance = 4 * 0.0025
    assert abs((many["sex"] == "male").mean() - 0.505) < tolerance
    assert abs((many["region"] == "southeast").mean() - 0.27) < tolerance
    assert abs((many["children"] == 0).mean() - 0.43) < tolerance
    assert abs((many["smoker"] == "yes").mean() - (0.505 * 0.235 + 0.495 * 0.175)) < tolerance
    assert set(many["age"]) == set(range(18, 65))


def test_charges_follow_the_documented_equation(many):
    expected = []
    for row in many.head(2000).itertuples():  # the equation once more, as a plain loop
        smoker = row.smoker == "yes"
        extra = 13_500 + 450 * (row.bmi - 25) + 16_000 * (row.bmi > 30) if smoker else 0
        expected.append(500 + 3.1 * row.age**2 + 500 * row.children + extra)
    ratio = many.head(2000)["charges"].to_numpy() / np.array(expected)
    smokers = (many.head(2000)["smoker"] == "yes").to_numpy()
    # Smokers have no hospital stays: mean 1, sd 0.1; the standard error of the mean of about 400 is 0.005.
    assert abs(ratio[smokers].mean() - 1) < 4 * 0.1 / np.sqrt(smokers.sum())
    assert abs(ratio[smokers].std() - 0.1) < 4 * 0.1 / np.sqrt(2 * smokers.sum())
    # Non-smokers exceed the equation by far (more than five deviations) in about one case of eight.
    share = (ratio[~smokers] > 1.5).mean()
    assert 0.06 < share < 0.16


def test_smoking_and_bmi_act_together_and_bmi_alone_does_not(many):
    heavy, smoker = many["bmi"] > 30, many["smoker"] == "yes"

    def gap(rows):
        return many["charges"][rows & heavy].mean() - many["charges"][rows & ~heavy].mean()

    assert gap(smoker) > 16_000  # the step and the slope
    # Control: among non-smokers BMI has no effect; sd about 6000, 15 000 rows a side, standard error about 70.
    assert abs(gap(~smoker)) < 4 * 70


def test_it_resembles_the_real_table_where_that_was_intended():
    design = data.encode_table(data.load_table("insurance_like"), intercept=True)
    coefficients = np.linalg.lstsq(design.X, design.y, rcond=None)[0]
    explained = 1 - ((design.X @ coefficients - design.y) ** 2).mean() / design.y.var()
    # The real table: variance 0.0347, explained 0.75. "Resembles" means within a tenth or so.
    assert 0.031 < design.y.var() < 0.038
    assert 0.70 < explained < 0.82


def test_stream_is_pinned_to_literal_rows():
    # Guards the promise that rows never change: raw words of PCG64 are fixed across versions of NumPy.
    words = np.random.PCG64(0).random_raw(2)
    frame = insurance_like(1, seed=0)
    # age = 18 + floor(47 u) with u = (word >> 12 + 1/2) 2^-52; sex is male where u < 0.505.
    assert frame["age"][0] == 18 + int(47 * ((int(words[0]) >> 12) + 0.5) / 2**52)
    assert frame["sex"][0] == ("male" if ((int(words[1]) >> 12) + 0.5) / 2**52 < 0.505 else "female")


def test_fingerprint_is_that_of_the_reference_rows_as_text():
    text = insurance_like(1338, seed=0).to_csv(index=False, lineterminator="\n")
    assert reference_fingerprint() == hashlib.sha256(text.encode()).hexdigest()
    assert data.card("insurance_like").sha256 == reference_fingerprint()


@pytest.mark.parametrize("n", [0, -1])
def test_too_few_rows_are_refused(n):
    with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
        insurance_like(n)


@pytest.mark.parametrize("n", [1.0, "3", True])
def test_rows_must_be_a_whole_number(n):
    with pytest.raises(TypeError, match="n must be a whole number"):
        insurance_like(n)


def test_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        insurance_like(3, seed=-1)
