"""Data cards: what a reader is told, and null baselines that are computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trustlib import data
from trustlib.data import ChecksumError, FileSpec

pytestmark = pytest.mark.usefixtures("fresh")
HEAD = "age,sex,bmi,children,smoker,region,charges\n"
ROW = "30,male,25,0,no,southeast,{}\n"


@pytest.fixture
def small(fresh, monkeypatch):
    """A data set ``small`` whose target is 0, 32 500 and 65 000."""
    path = fresh / "small.csv"
    path.write_text(HEAD + "".join(ROW.format(v) for v in (0, 32_500, 65_000)))
    monkeypatch.setenv("TRUSTLIB_DATA", str(fresh))
    data.register(replace(data.dataset("insurance"), name="small", files=(FileSpec("small.csv", None),)))
    data.load_table("small")
    return path


def test_null_baselines_by_hand(small):
    null = data.null_baseline("small")
    # Scaled targets 0, 1/2, 1: mean 1/2; squared errors 1/4, 0, 1/4 and 0, 1/4, 1.
    assert null.rows == 3
    assert null.mean == 32_500
    assert null.mse_of_mean == pytest.approx(1 / 6, rel=1e-12)
    assert null.mse_of_zero == pytest.approx(5 / 12, rel=1e-12)


@pytest.mark.parametrize("name", ["insurance_like", "diabetes"])
def test_null_baselines_are_those_of_the_encoded_target(name):
    null = data.null_baseline(name)
    y = data.encode_table(data.load_table(name)).y
    assert null.mse_of_mean == pytest.approx(((y - y.mean()) ** 2).mean(), rel=1e-12)
    assert null.mse_of_zero == pytest.approx(np.mean(y**2), rel=1e-12)


def test_looking_at_a_card_is_no_use_and_fetches_nothing():
    for name in data.available():
        card = data.card(name)
        assert (card.null is not None) == (name in ("insurance_like", "diabetes"))
    assert data.used() == []
    assert not data.cache_folder().exists() or not any(data.cache_folder().glob("*.csv"))


def test_altered_file_has_no_null_baseline(small):
    assert data.null_baseline("small") is not None
    small.write_text(HEAD + ROW.format(1.5))
    assert data.null_baseline("small") is None
    with pytest.raises(ChecksumError):
        data.load_table("small")


def test_other_kinds_have_no_null_baseline():
    assert data.null_baseline("cora") is None


@pytest.mark.parametrize("name", data.available())
def test_every_card_renders_with_its_terms_and_problems(name):
    card, spec = data.card(name), data.dataset(name)
    text = card.to_markdown()
    lines = text.splitlines()
    assert lines[0] == f"## {spec.title}"
    assert sum(line.startswith("#") for line in lines) == 1
    for part in (f"`{name}`", spec.licence, spec.citation, spec.size, *spec.problems):
        assert part in text
    for file in spec.files:
        assert f"`{file.path}`" in text
        assert (file.sha256 or "recorded at first use") in text
    for column in spec.columns:
        assert f"`{column}`" in text


def test_tables_in_cards_have_equally_many_cells_in_every_row():
    for name in data.available():
        blocks = data.card(name).to_markdown().split("\n\n")
        for block in blocks:
            if block.startswith("|"):
                widths = {line.replace("\\|", "").count("|") for line in block.splitlines()}
                assert len(widths) == 1, block


def test_null_baselines_appear_in_the_card_as_computed(small):
    text = data.card("small").to_markdown()
    assert "computed on 3 rows" in text
    assert "0.1667; predicting 0 has 0.4167" in text
    small.unlink()
    assert "Null baselines" not in data.card("small").to_markdown()


def test_embedded_card_says_that_no_file_is_needed():
    assert "needs no file: generated" in data.card("insurance_like").to_markdown()
    assert "needs no file: bundled" in data.card("diabetes").to_markdown()
