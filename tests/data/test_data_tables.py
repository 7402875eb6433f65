"""Tables by name: rows, draws, provenance, and the files behind them."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from trustlib import data
from trustlib.data import Table, category, number
from trustlib.data.catalogue_tables import compas_without_identities

pytestmark = pytest.mark.usefixtures("fresh")
ROWS = "age,sex,bmi,children,smoker,region,charges\n"
ROWS += "".join(f"{20 + k},male,30.5,{k},no,southeast,{1000 + k}.25\n" for k in range(5))


@pytest.fixture
def small(fresh, monkeypatch):
    """A data set ``small`` from a file of five rows."""
    from dataclasses import replace

    (fresh / "small.csv").write_text(ROWS)
    monkeypatch.setenv("TRUSTLIB_DATA", str(fresh))
    insurance = data.dataset("insurance")
    data.register(replace(insurance, name="small", files=(data.FileSpec("small.csv", None),)))
    return fresh / "small.csv"


def test_generated_table_by_name():
    table = data.load_table("insurance_like", n=5, seed=3)
    assert (len(table), table.target, table.name) == (5, "charges", "insurance_like")
    assert table.features == ["age", "sex", "bmi", "children", "smoker", "region"]
    assert table.sha256 == data.known_sha256("insurance_like")
    assert data.used() == [("insurance_like", table.sha256)]
    assert len(data.load_table("insurance_like")) == 1338


def test_bundled_table_by_name():
    table = data.load_table("diabetes")
    assert len(table) == 442
    # The first patient of the published table: 59 years, sex 2, BMI 32.1, target 151.
    first = table.frame.iloc[0]
    assert (first["age"], first["sex"], first["bmi"], first["target"]) == (59.0, "2", 32.1, 151.0)
    assert data.encode_table(table).clipped == {}


def test_table_from_a_file(small):
    table = data.load_table("small")
    assert table.frame["charges"].tolist() == [1000.25, 1001.25, 1002.25, 1003.25, 1004.25]
    assert table.frame["smoker"].tolist() == ["no"] * 5
    assert table.card.spec.name == "small"
    assert data.used() == [("small", table.sha256)]


def test_draws_are_nested_without_repetition_and_follow_the_seed(small):
    drawn = [data.load_table("small", n=n, seed=4).frame for n in (2, 5)]
    assert drawn[0].equals(drawn[1].head(2))
    assert sorted(drawn[1]["age"]) == [20, 21, 22, 23, 24]
    orders = {tuple(data.load_table("small", n=5, seed=s).frame["age"]) for s in range(8)}
    assert len(orders) > 4  # 120 orders are possible
    assert data.load_table("small", seed=4).frame["age"].tolist() == [20, 21, 22, 23, 24]


def test_all_rows_are_drawn_equally_often(small):
    draws = [data.load_table("small", n=1, seed=s).frame["age"][0] for s in range(400)]
    shares = np.bincount(np.array(draws) - 20, minlength=5) / 400
    assert np.abs(shares - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 400)


def test_frames_are_fresh(small):
    frame = data.load_table("small").frame
    frame.loc[0, "age"] = 99
    assert data.load_table("small").frame.loc[0, "age"] == 20


def test_missing_values_are_kept_and_words_for_nothing_are_words(small):
    small.write_text(ROWS.replace("20,male,30.5", "20,male,").replace(",no,southeast", ",NA,southeast", 1))
    frame = data.load_table("small").frame
    assert frame["bmi"].isna().tolist() == [True, False, False, False, False]
    assert frame["smoker"][0] == "NA"


def test_more_rows_than_there_are_is_refused(small):
    with pytest.raises(ValueError, match=r"'small' has 5 rows, got n=6\. Rows are drawn without replacement"):
        data.load_table("small", n=6, seed=0)


def test_draw_without_seed_is_refused_before_reading(small):
    small.unlink()
    with pytest.raises(ValueError, match=r"load_table\('small', n=2\) needs a seed"):
        data.load_table("small", n=2)


def test_numbers_are_checked_before_reading(small):
    small.unlink()
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        data.load_table("small", n=0, seed=0)
    with pytest.raises(TypeError, match=r"seed must be a whole number, got 0\.5 of type float"):
        data.load_table("small", seed=0.5)


def test_other_kinds_are_no_tables():
    with pytest.raises(ValueError, match=r"'cora' holds graph\. Tables: compas, diabetes"):
        data.load_table("cora")
    with pytest.raises(data.UnknownDatasetError, match="no data set 'titanic'"):
        data.load_table("titanic")


def test_absent_table_is_an_error_and_never_another_table(monkeypatch):
    from dataclasses import replace

    insurance = data.dataset("insurance")
    unreachable = replace(insurance.files[0], urls=("http://127.0.0.1:9/insurance.csv",))
    data.register(replace(insurance, files=(unreachable,)), replace=True)
    with pytest.raises(
        data.DataNotFoundError, match=r"tabular/insurance\.csv.*trustlib data fetch insurance"
    ):
        data.load_table("insurance")


def test_table_of_your_own():
    frame = pd.DataFrame({"size": [1.0, 2.0], "colour": ["red", "blue"], "price": [3.0, 4.0], "id": [7, 8]})
    columns = {"size": number(0, 2), "colour": category("red", "blue"), "price": number(0, 5, role="target")}
    table = Table(frame, columns)
    assert (table.target, table.features, table.sha256) == ("price", ["size", "colour"], None)
    with pytest.raises(ValueError, match=r"lacks the columns \['weight'\]"):
        Table(frame, columns | {"weight": number(0, 1)})
    with pytest.raises(
        ValueError, match=r"exactly one column with role='target', got \['price', 'size'\]|got \['size'"
    ):
        Table(frame, columns | {"size": number(0, 2, role="target")})
    with pytest.raises(TypeError, match="frame must be a pandas DataFrame, got dict"):
        Table({"size": [1.0]}, columns)


def test_identities_are_dropped_from_the_compas_file():
    original = pd.DataFrame(
        {
            "id": [1, 3],
            "name": ["a b", "c d"],
            "dob": ["1947-04-18", "1982-01-22"],
            **{c: [0, 1] for c in ("juv_fel_count", "juv_misd_count", "juv_other_count", "priors_count")},
            **{c: ["x", "y"] for c in ("sex", "age_cat", "race", "c_charge_degree", "score_text")},
            **{c: [1, 2] for c in ("age", "decile_score", "is_recid", "two_year_recid")},
            "days_b_screening_arrest": [-1, None],
        }
    )
    text = compas_without_identities(original.to_csv(index=False).encode()).decode()
    assert text.splitlines() == [
        "sex,age,age_cat,race,juv_fel_count,juv_misd_count,juv_other_count,priors_count,c_charge_degree,"
        "days_b_screening_arrest,decile_score,score_text,is_recid,two_year_recid",
        "x,1,x,x,0,0,0,0,x,-1.0,1,x,1,1",
        "y,2,y,y,1,1,1,1,y,,2,y,2,2",
    ]
    with pytest.raises(KeyError, match="two_year_recid"):
        compas_without_identities(b"sex,age\nMale,3\n")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "rows", "width"), [("insurance", 1338, 11), ("compas", 7214, 15), ("german_credit", 1000, 61)]
)
def test_real_tables_fit_their_public_description(real_data, monkeypatch, name, rows, width):
    if not (real_data / data.dataset(name).files[0].path).is_file():
        pytest.skip(f"real data: {name} is not under TRUSTLIB_DATA")
    monkeypatch.setenv("TRUSTLIB_DATA", str(real_data))
    table = data.load_table(name)
    design = data.encode_table(table)
    assert (len(table), design.X.shape[1], design.clipped) == (rows, width, {})
    assert table.sha256 == data.dataset(name).files[0].sha256
    for column, public in table.columns.items():
        if public.kind == "category":  # the vocabulary is neither too small nor padded
            assert set(table.frame[column]) == set(public.categories)


@pytest.mark.realdata
def test_reducing_the_real_compas_file_once_more_changes_no_byte(real_data):
    path = real_data / "tabular/compas.csv"
    if not path.is_file():
        pytest.skip("real data: compas is not under TRUSTLIB_DATA")
    content = path.read_bytes()
    assert compas_without_identities(content) == content
    assert pd.read_csv(io.BytesIO(content)).shape == (7214, 14)
