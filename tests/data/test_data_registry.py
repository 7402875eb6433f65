"""The registry: names, files and forms are checked before anything can go wrong with bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trustlib import data
from trustlib.data import DatasetSpec, Embedded, FileSpec, category, number

pytestmark = pytest.mark.usefixtures("fresh")
SHA = "0" * 64


def test_available_lists_the_tables_graphs_and_images_by_name():
    assert data.available("table") == ["compas", "diabetes", "german_credit", "insurance", "insurance_like"]
    assert {"cora", "citeseer", "dblp", "acm", "amazon_photo", "coauthor_physics"} <= set(
        data.available("graph")
    )
    assert {"cifar10", "mnist", "camvid", "bsds500"} <= set(data.available("images"))
    assert data.available() == sorted(data.available())


def test_register_makes_a_data_set_known_and_unregister_forgets_it(spec_of):
    spec = data.register(spec_of(FileSpec("toy/a.bin", None)))
    assert data.dataset("toy") is spec
    assert "toy" in data.available("graph")
    data.unregister("toy")
    assert "toy" not in data.available()


def test_register_refuses_a_taken_name_unless_told(spec_of):
    spec = data.register(spec_of(FileSpec("toy/a.bin", None)))
    data.register(spec)  # the same once more, as when a module is reloaded
    other = replace(spec, title="other")
    with pytest.raises(ValueError, match=r"'toy' is registered already.*replace=True"):
        data.register(other)
    assert data.register(other, replace=True) is data.dataset("toy")


def test_register_refuses_what_is_no_spec():
    with pytest.raises(TypeError, match="DatasetSpec, got dict"):
        data.register({"name": "toy"})


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(data.UnknownDatasetError, match=r"no data set 'insurence'.*insurance_like") as caught:
        data.dataset("insurence")
    assert isinstance(caught.value, KeyError)
    assert not str(caught.value).startswith(("'", '"'))  # KeyError would print a repr


@pytest.mark.parametrize("path", ["/etc/passwd", "../up.csv", "a/../../b", "a\\b", ""])
def test_file_outside_the_data_folder_is_refused(path):
    with pytest.raises(ValueError, match="relative and stay in the data folder"):
        FileSpec(path, None)


@pytest.mark.parametrize("digest", ["abc", "G" * 64, "A" * 64, "0" * 63])
def test_malformed_hash_is_refused(digest):
    with pytest.raises(ValueError, match="64 lower-case hexadecimal digits"):
        FileSpec("a.bin", digest)


def test_empty_size_is_refused():
    with pytest.raises(ValueError, match=r"size_bytes of a\.bin must be > 0, got 0"):
        FileSpec("a.bin", None, size_bytes=0)


def test_addresses_are_web_addresses():
    with pytest.raises(ValueError, match=r"must begin with https:// or http://, got \['ftp://a'\]"):
        FileSpec("a.bin", None, urls=("https://b", "ftp://a"))


@pytest.mark.parametrize("name", ["", "Big", "two words", "9lives", "a/b"])
def test_malformed_name_is_refused(spec_of, name):
    with pytest.raises(ValueError, match="name must be lower case"):
        spec_of(FileSpec("a.bin", None), name=name)


def test_source_must_be_files_or_embedded(spec_of):
    embedded = Embedded(home=lambda: Path("."), fingerprint=lambda: SHA, how="generated")
    with pytest.raises(ValueError, match="either files or an embedded source"):
        spec_of()
    with pytest.raises(ValueError, match="either files or an embedded source"):
        spec_of(FileSpec("a.bin", None), embedded=embedded)


def test_kind_and_columns_must_agree(spec_of):
    spec = spec_of(FileSpec("a.bin", None))
    with pytest.raises(ValueError, match="must be 'table', 'images' or 'graph', got 'sound'"):
        replace(spec, kind="sound")
    with pytest.raises(ValueError, match="columns belong to tables"):
        replace(spec, kind="table")
    with pytest.raises(ValueError, match="columns belong to tables"):
        replace(spec, columns={"y": number(0, 1, role="target")})
    with pytest.raises(ValueError, match=r"exactly one column with role='target', got \[\]"):
        replace(spec, kind="table", columns={"x": number(0, 1)})


def test_same_path_twice_is_refused(spec_of):
    with pytest.raises(ValueError, match="must have different paths"):
        spec_of(FileSpec("a.bin", None, part="train"), FileSpec("a.bin", None, part="test"))


def test_parts_and_forms_keep_their_order(spec_of):
    files = [FileSpec(f"{k}.bin", None, part=part) for k, part in enumerate(["train", "test", "train"])]
    spec = spec_of(*files)
    assert spec.parts == ("train", "test")
    assert spec.forms("train") == (files[0], files[2])
    with pytest.raises(ValueError, match=r"no part 'val'\. Parts: 'train', 'test'"):
        spec.forms("val")
    with pytest.raises(ValueError, match="no part None"):
        spec.forms()


def test_every_pinned_file_has_a_size_and_every_set_a_card_worth_reading():
    for name in data.available():
        spec: DatasetSpec = data.dataset(name)
        assert spec.problems, name
        assert spec.licence, name
        assert all(file.size_bytes for file in spec.files if file.sha256), name
        assert spec.placement or any(file.fetchable for file in spec.files) or spec.embedded, name


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)])
def test_number_needs_a_proper_range(low, high):
    with pytest.raises(ValueError, match="finite low < high"):
        number(low, high)


def test_category_needs_different_values():
    with pytest.raises(ValueError, match="at least two different values"):
        category("a", "a")
    with pytest.raises(ValueError, match="at least two different values"):
        category("a")
    with pytest.raises(ValueError, match="has no range"):
        _ = category("a", "b").limits


def test_kind_of_a_column_is_one_of_two():
    with pytest.raises(ValueError, match="'number' or 'category', got 'text'"):
        data.Column("text")
