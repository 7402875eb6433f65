"""Image sets: one reader for Parquet files, folders, digits and scenes; only what is asked for is read."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from trustlib.data import (
    ChecksumError,
    DataNotFoundError,
    DatasetSpec,
    FileSpec,
    Images,
    UnknownDatasetError,
    available,
    dataset,
    load_images,
    register,
    used,
)
from trustlib.data import images as module
from trustlib.data.parquet import decode, read_encoded, row_count

TEXTS = dict.fromkeys(("title", "size", "origin", "licence", "citation"), "-")


def png(array):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def pictures(n, *, height=6, width=5, channels=3, seed=0):
    shape = (n, height, width, 3) if channels == 3 else (n, height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def parquet(path, arrays, *, labels=None, masks=None, groups=4, image="image", label="label", classes=None):
    struct = [{"bytes": png(array), "path": f"{i}.png"} for i, array in enumerate(arrays)]
    columns = {image: struct}
    if labels is not None:
        columns[label] = np.asarray(labels)
    if masks is not None:
        columns["mask"] = [{"bytes": png(mask), "path": ""} for mask in masks]
    table = pa.table(columns)
    if classes:
        features = {label: {"names": list(classes), "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=groups)
    return path


def registered(*files, splits, name="toy"):
    return register(
        DatasetSpec(name=name, kind="images", problems=("-",), files=files, splits=splits, **TEXTS)
    )


@pytest.fixture
def toy(fresh, monkeypatch):
    """Ten pictures in three row groups under the data folder, registered as ``toy``."""
    monkeypatch.setenv("TRUSTLIB_DATA", str(fresh / "data"))
    arrays = pictures(10)
    parquet(fresh / "data" / "toy" / "train.parquet", arrays, labels=np.arange(10) % 3)
    registered(FileSpec("toy/train.parquet", None, part="train"), splits={"train": 10})
    return arrays.transpose(0, 3, 1, 2)


def test_all_rows_come_back_as_they_were_written(toy):
    images = load_images("toy")
    np.testing.assert_array_equal(images.pixels, toy)
    np.testing.assert_array_equal(images.labels, np.arange(10) % 3)
    assert images.names[3] == "3.png"
    assert [name for name, _ in used()] == ["toy"]


def test_rows_are_read_in_the_order_asked_for_across_files(tmp_path):
    arrays = pictures(11)
    paths = [
        parquet(tmp_path / "a.parquet", arrays[:7], labels=np.arange(7), groups=3),
        parquet(tmp_path / "b.parquet", arrays[7:], labels=np.arange(7, 11), groups=3),
    ]
    rows = [10, 0, 6, 7, 3, 3]
    encoded = read_encoded(paths, rows=rows)
    np.testing.assert_array_equal(encoded.labels, rows)
    pixels = decode(encoded.images, channels=None, size=None)
    np.testing.assert_array_equal(pixels, arrays[rows].transpose(0, 3, 1, 2))
    assert [row_count(path) for path in paths] == [7, 4]
    assert read_encoded(paths, rows=[]).images == ()


def test_only_row_groups_with_wanted_rows_are_read(tmp_path, monkeypatch):
    path = parquet(tmp_path / "a.parquet", pictures(12), labels=np.arange(12), groups=3)
    seen = []
    original = pq.ParquetFile.read_row_groups
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_groups", lambda self, g, **k: seen.append(g) or original(self, g, **k)
    )
    np.testing.assert_array_equal(read_encoded([path], rows=[11, 4]).labels, [11, 4])
    assert seen == [[1, 3]]


def test_n_decodes_n_images_only(toy, monkeypatch):
    decoded = []
    original = module.decode
    monkeypatch.setattr(module, "decode", lambda e, **k: decoded.append(len(e)) or original(e, **k))
    np.testing.assert_array_equal(load_images("toy", n=4).pixels, toy[:4])
    assert decoded == [4]


def test_seed_draws_a_random_subset_in_order(toy):
    one, same, other = (load_images("toy", n=5, seed=seed) for seed in (1, 1, 2))
    rows = [int(name.split(".")[0]) for name in one.names]
    assert rows == sorted(set(rows))
    np.testing.assert_array_equal(one.pixels, toy[rows])
    assert one.names == same.names != other.names


def test_later_shards_are_not_fetched_when_the_first_is_enough(fresh, web, tmp_path):
    contents = [
        parquet(tmp_path / f"{k}.parquet", pictures(4, seed=k), labels=[k] * 4).read_bytes() for k in (0, 1)
    ]
    files = [
        FileSpec(f"toy/train-{k}.parquet", None, urls=(web.serve(f"/{k}", contents[k]),), part=f"train.{k}")
        for k in (0, 1)
    ]
    registered(*files, splits={"train": 8})
    np.testing.assert_array_equal(load_images("toy", n=3).labels, [0, 0, 0])
    assert web.requests == ["/0"]
    np.testing.assert_array_equal(load_images("toy").labels, [0] * 4 + [1] * 4)
    assert web.requests == ["/0", "/1"]


def test_downloaded_file_that_changes_later_is_refused(fresh, web, tmp_path):
    content = parquet(tmp_path / "x.parquet", pictures(3), labels=[0, 1, 2]).read_bytes()
    registered(
        FileSpec("toy/x.parquet", None, urls=(web.serve("/x", content),), part="train"), splits={"train": 3}
    )
    assert len(load_images("toy")) == 3
    parquet(fresh / "cache" / "toy" / "x.parquet", pictures(4), labels=[0, 1, 2, 3])
    with pytest.raises(ChecksumError, match="recorded at first use"):
        load_images("toy")


@pytest.mark.parametrize("name", ["cifar100", "fashion_mnist", "svhn", "stl10", "food101"])
def test_public_sets_are_fetched_from_their_addresses(fresh, web, tmp_path, name):
    """Every set's own file names and columns, served from this machine."""
    spec = dataset(name)
    assert set(spec.splits) == {"train", "test"}
    grey = name == "fashion_mnist"
    label = "fine_label" if name == "cifar100" else "label"
    image = "img" if name == "cifar100" else "image"
    local = []
    for number, file in enumerate(spec.files):
        arrays = pictures(2, height=8, width=8, channels=1 if grey else 3, seed=number)
        path = parquet(tmp_path / f"{number}.parquet", arrays, labels=[number] * 2, label=label, image=image)
        assert file.urls[0].startswith("https://")
        assert file.urls[0].endswith(".parquet")
        local.append(
            FileSpec(file.path, None, urls=(web.serve(f"/{number}", path.read_bytes()),), part=file.part)
        )
    register(
        DatasetSpec(
            name=name, kind="images", problems=("-",), files=tuple(local), splits=spec.splits, **TEXTS
        ),
        replace=True,
    )
    shards = [n for n, file in enumerate(spec.files) if file.part.split(".")[0] == "test"]
    test = load_images(name, "test")
    np.testing.assert_array_equal(test.labels, np.repeat(shards, 2))
    assert test.pixels.shape == (2 * len(shards), 1 if grey else 3, 8, 8)
    assert len(web.requests) == len(shards)


def test_no_network_is_an_error_that_says_what_to_do(fresh, web):
    registered(FileSpec("toy/x.parquet", None, urls=(web.url("/absent"),), part="train"), splits={"train": 3})
    with pytest.raises(DataNotFoundError, match=r"toy/x\.parquet"):
        load_images("toy")


def test_names_of_classes_come_from_the_file_or_the_library(fresh, monkeypatch):
    monkeypatch.setenv("TRUSTLIB_DATA", str(fresh))
    parquet(fresh / "a.parquet", pictures(2), labels=[0, 1], classes=["cat", "dog"])
    registered(FileSpec("a.parquet", None, part="train"), splits={"train": 2})
    assert load_images("toy").classes == ("cat", "dog")
    assert module.CLASSES["cifar10"][3] == "cat"


def test_masks_keep_their_numbers_when_made_smaller(fresh, monkeypatch):
    monkeypatch.setenv("TRUSTLIB_DATA", str(fresh))
    masks = np.kron(np.array([[[0, 11], [5, 255]]] * 2), np.ones((4, 4), dtype=int))
    parquet(fresh / "m.parquet", pictures(2, height=8, width=8), masks=masks)
    registered(FileSpec("m.parquet", None, part="val"), splits={"val": 2})
    images = load_images("toy", "val", size=(4, 4))
    np.testing.assert_array_equal(images.masks[1], np.kron([[0, 11], [5, 255]], np.ones((2, 2))))
    assert images.labels is None


def test_sizes_are_made_equal_by_scaling_and_cutting(tmp_path):
    wide, tall = np.zeros((4, 8, 3)), np.zeros((8, 4, 3))
    wide[:, 2:6], tall[2:6] = 200, 200  # the middle square is bright
    encoded = read_encoded([parquet(tmp_path / "p.parquet", [wide, tall])]).images
    np.testing.assert_array_equal(decode(encoded, channels=None, size=4), np.full((2, 3, 4, 4), 200))
    # areas are averaged: 2 x 2 blocks of 0 and 100 become 50
    block = png(np.tile([[0, 100], [100, 0]], (2, 2)))
    np.testing.assert_array_equal(decode([block], channels=1, size=2), np.full((1, 1, 2, 2), 50))
    with pytest.raises(ValueError, match=r"2 sizes, from \(4, 8\) to \(8, 4\).*Pass size"):
        decode(encoded, channels=None, size=None)


def test_grey_and_colour_can_be_asked_for(tmp_path):
    grey, colour = np.full((3, 3), 7), np.zeros((3, 3, 3))
    colour[..., 1] = 100  # 0.587 * 100 = 58.7
    mixed = [png(grey), png(colour)]
    assert decode(mixed, channels=None, size=None).shape == (2, 3, 3, 3)
    np.testing.assert_array_equal(decode(mixed[:1], channels=3, size=None), np.full((1, 3, 3, 3), 7))
    assert decode(mixed[1:], channels=1, size=None)[0, 0, 0, 0] in (58, 59)
    assert decode([], channels=3, size=4).shape == (0, 3, 4, 4)


def test_folder_of_class_folders(tmp_path):
    for split in ("train", "test"):
        for label, name in enumerate(["ant", "bee"]):
            for number in range(3):
                path = tmp_path / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(np.full((4, 4, 3), 10 * label + number)))
    (tmp_path / "train" / "ant" / "notes.txt").write_text("no image")
    images = load_images(tmp_path, "train")
    assert images.classes == ("ant", "bee")
    np.testing.assert_array_equal(images.labels, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(images.pixels[:, 0, 0, 0], [0, 1, 2, 10, 11, 12])
    assert images.names[4] == "bee/1.png"
    assert len(load_images(tmp_path / "test", n=4, seed=0)) == 4  # no split inside: the classes themselves
    with pytest.raises(ValueError, match="holds no images"):
        load_images(tmp_path / "train" / "ant")
    with pytest.raises(ValueError, match="is not a folder"):
        load_images(tmp_path / "nowhere")


def test_digits_are_split_once_for_all(fresh):
    train, test = load_images("digits", "train"), load_images("digits", "test")
    assert (len(train), len(test)) == (1438, 359)
    assert train.pixels.max() == 255
    assert set(test.labels.tolist()) == set(range(10))
    together = np.concatenate([train.pixels, test.pixels]).reshape(1797, -1)
    from sklearn.datasets import load_digits

    reference = np.rint(load_digits().data * 255 / 16).astype(np.uint8)
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(reference, axis=0))
    assert load_images("digits", "test", n=5, size=16, channels=3).pixels.shape == (5, 3, 16, 16)


def test_scenes_by_split_are_disjoint_and_complete(fresh):
    splits = {split: load_images("scenes", split, n=6) for split in ("train", "test", "val")}
    assert len({images.sha256 for images in splits.values()}) == 3
    scenes = load_images("scenes", "test", n=40, seed=1, size=64, atypical=0.5)
    assert scenes.pixels.shape == (40, 3, 64, 64)
    assert scenes.masks.shape == scenes.depth.shape == (40, 64, 64)
    assert len(scenes.captions) == 40
    assert len(scenes.atypical) > 5
    assert load_images("scenes", n=3, channels=1).pixels.shape == (3, 1, 32, 32)
    assert used()[0][0] == "scenes"


def test_take_keeps_everything_together():
    scenes = load_images("scenes", n=30, atypical=0.5)
    rows = [int(scenes.atypical[1]), 0, int(scenes.atypical[0])]
    part = scenes.take(rows)
    np.testing.assert_array_equal(part.pixels, scenes.pixels[rows])
    np.testing.assert_array_equal(part.depth, scenes.depth[rows])
    assert part.captions == tuple(scenes.captions[i] for i in rows)
    np.testing.assert_array_equal(part.atypical, [k for k, i in enumerate(rows) if i in scenes.atypical])
    assert part.sha256 != scenes.sha256


def test_tensor_is_in_the_unit_interval():
    tensor = load_images("scenes", n=2).tensor()
    assert tensor.dtype.is_floating_point
    assert 0 <= float(tensor.min()) <= float(tensor.max()) <= 1


def test_fingerprint_tells_pixels_labels_and_shapes_apart():
    pixels = np.zeros((2, 1, 4, 4), dtype=np.uint8)
    other = pixels.copy()
    other[1, 0, 0, 0] = 1
    marks = {
        module.fingerprint(pixels), module.fingerprint(other), module.fingerprint(pixels.reshape(2, 1, 2, 8)),
        module.fingerprint(pixels, np.array([0, 1])), module.fingerprint(pixels, np.array([1, 0])),
    }  # fmt: skip
    assert len(marks) == 5
    assert Images(pixels).sha256 == module.fingerprint(pixels)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        (("nothing",), {}, UnknownDatasetError, "no data set 'nothing'"),
        (("insurance",), {}, ValueError, "insurance is a table"),
        (("scenes", "extra"), {}, ValueError, "no split 'extra'. Splits: train, val, test"),
        (("scenes", "test", 0), {}, ValueError, "n must be at least 1"),
        (("scenes",), {"size": (32, 48)}, ValueError, "scenes are square"),
        (("digits",), {"channels": 2}, ValueError, "channels must be 1, 3 or None, got 2"),
        (("digits", "test", 400), {}, ValueError, "n must be at most 359"),
        (("digits",), {"atypical": 0.1}, ValueError, "atypical=0.1 is for scenes"),
    ],
)
def test_load_images_refuses(arguments, options, error, match):
    with pytest.raises(error, match=match):
        load_images(*arguments, **options)


def test_parquet_refuses_what_it_cannot_read(tmp_path):
    pq.write_table(pa.table({"picture": [1, 2]}), tmp_path / "no.parquet")
    with pytest.raises(ValueError, match=r"no image column.*picture"):
        read_encoded([tmp_path / "no.parquet"])
    path = parquet(tmp_path / "a.parquet", pictures(2))
    with pytest.raises(ValueError, match=r"rows must be in \[0, 2\)"):
        read_encoded([path], rows=[2])
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode([b"not an image"], channels=3, size=None)
    with pytest.raises(ValueError, match="pixels must be uint8"):
        Images(np.zeros((2, 3, 4, 4)))


def test_registry_knows_every_image_set():
    assert set(available("images")) >= {
        "scenes", "digits", "cifar10", "cifar100", "mnist", "fashion_mnist", "svhn", "stl10", "camvid",
        "bsds500", "food101",
    }  # fmt: skip


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "split", "shape"),
    [
        ("cifar10", "test", (3, 32, 32)),
        ("mnist", "test", (1, 28, 28)),
        ("camvid", "val", (3, 180, 240)),
    ],
)
def test_real_files_are_read(real_data, name, split, shape):
    images = load_images(name, split, n=20)
    assert images.pixels.shape == (20, *shape)
    assert images.labels is not None or images.masks is not None
    if name == "cifar10":
        assert all(
            file.split("/")[0] == images.classes[label]
            for file, label in zip(images.names, images.labels, strict=True)
        )
