"""Scores of public samples: by hand, against the plainest loop, in blocks, from files, in half precision, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trustlib.dppl import ClassListWarning, class_scores, pool_features, unit_rows


def plain_scores(X, y, V, classes, d_min, d_max):
    """The definition, one pair at a time."""
    found = [[0.0] * len(V) for _ in classes]
    for x, label in zip(X, y, strict=True):
        for j, v in enumerate(V):
            cosine = math.fsum(a * b for a, b in zip(x, v, strict=True)) / (math.hypot(*x) * math.hypot(*v))
            found[classes.index(label)][j] += (min(max(1 + cosine, d_min), d_max) - d_min) / (d_max - d_min)
    return np.array(found)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 5)), rng.integers(0, 3, 40), rng.normal(size=(23, 5))


def test_scores_by_hand():
    X, V = [[2.0, 0.0], [0.0, 3.0]], [[1.0, 0.0], [-5.0, 0.0], [3.0, 4.0]]
    # 1 + cos: (2, 0, 1.6) and (1, 1, 1.8); halves of the sums
    full = class_scores(X, ["a", "a"], V, classes=["a", "b"], d_min=0, d_max=2)
    np.testing.assert_allclose(full, [[1.5, 0.5, 1.7], [0, 0, 0]], atol=1e-7)
    # window [1, 1.5]: (1, 0, 1) and (0, 0, 1)
    narrow = class_scores(X, ["a", "a"], V, classes=["a", "b"], d_min=1, d_max=1.5)
    np.testing.assert_allclose(narrow, [[1, 0, 2], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("window", [(0.0, 2.0), (1.0, 1.9), (0.2, 0.6)])
@pytest.mark.parametrize("block_size", [1, 7, 23, 1000])
def test_scores_equal_the_definition_in_any_blocks(data, window, block_size):
    X, y, V = data
    expected = plain_scores(X, y.tolist(), V, [2, 0, 1], *window)
    found = class_scores(
        X,
        y,
        V,
        classes=[2, 0, 1],
        d_min=window[0],
        d_max=window[1],
        block_size=block_size,
        precision="float64",
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)
    single = class_scores(X, y, V, classes=[2, 0, 1], d_min=window[0], d_max=window[1], block_size=block_size)
    np.testing.assert_allclose(single, expected, atol=1e-4)  # 40 cosines, each within some 1e-6


def test_many_private_rows_in_several_tiles(monkeypatch):
    from trustlib.dppl import scores as module

    monkeypatch.setattr(module, "_TILE_BYTES", 1)  # 64 rows to a tile
    rng = np.random.default_rng(1)
    X, y, V = rng.normal(size=(300, 4)), rng.integers(0, 7, 300), rng.normal(size=(5, 4))
    found = class_scores(X, y, V, classes=range(7), d_min=1, d_max=1.8, precision="float64")
    np.testing.assert_allclose(found, plain_scores(X, y.tolist(), V, list(range(7)), 1, 1.8), atol=1e-11)


@pytest.mark.parametrize("window", [(0.0, 2.0), (1.0, 1.9)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_numpy_and_torch_and_widths_agree(data, window, dtype):
    X, y, V = (np.asarray(a) for a in data)
    X, V = X.astype(dtype), V.astype(dtype)
    how = {"classes": [0, 1, 2], "d_min": window[0], "d_max": window[1]}
    arrays = class_scores(X, y, V, **how)
    tensors = class_scores(torch.from_numpy(X), torch.from_numpy(y), torch.from_numpy(V), **how)
    np.testing.assert_array_equal(arrays, tensors)
    exact = plain_scores(X.astype(float), y.tolist(), V.astype(float), [0, 1, 2], *window)
    np.testing.assert_allclose(arrays, exact, atol=1e-4)


@pytest.mark.parametrize(("precision", "unit"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_half_precision_errs_by_its_rounding(data, precision, unit):
    X, y, V = data
    how = {"classes": [0, 1, 2], "d_min": 1.0, "d_max": 1.9}
    exact = class_scores(X, y, V, **how, precision="float64")
    half = class_scores(X, y, V, **how, precision=precision)
    sizes = np.bincount(y)[:, None]
    # a cosine errs by at most 3 roundings (both factors, the product) of numbers of size 1; the window is 0.9 wide
    assert (np.abs(half - exact) <= sizes * 3.5 * unit / 0.9).all()
    assert np.abs(half - exact).max() > 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="gpu: no CUDA device on this machine")
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("window", [(0.0, 2.0), (1.0, 1.9)])
def test_scores_on_a_gpu_are_those_of_the_processor(data, precision, window):
    X, y, V = data
    how = {"classes": [0, 1, 2], "d_min": window[0], "d_max": window[1]}
    exact = class_scores(X, y, V, **how, precision="float64")
    found = class_scores(X, y, V, **how, precision=precision, device="cuda")
    # 3.5 roundings of numbers of size 1 for each of at most 40 records; TF32 is not used for float32
    unit = {"float32": 2.0**-20, "float16": 2.0**-11, "bfloat16": 2.0**-8}[precision]
    np.testing.assert_allclose(found, exact, atol=40 * 3.5 * unit)


def test_memory_mapped_pool_is_read_as_it_is(data, tmp_path):
    X, y, V = data
    path = tmp_path / "pool.npy"
    np.save(path, V)
    mapped = np.load(path, mmap_mode="r")
    how = {"classes": [0, 1, 2], "d_min": 1.0, "d_max": 1.9, "block_size": 4}
    np.testing.assert_array_equal(class_scores(X, y, mapped, **how), class_scores(X, y, V, **how))


def test_inputs_stay_as_they_were(data):
    X, y, V = data
    before = [a.copy() for a in data]
    class_scores(X, y, V, classes=[0, 1, 2], d_min=1.0, d_max=1.9)
    for a, b in zip(data, before, strict=True):
        np.testing.assert_array_equal(a, b)


@given(st.integers(0, 2**31), st.floats(0, 1.8), st.floats(0.1, 1.0))
def test_one_record_more_moves_all_scores_up_by_at_most_one(seed, d_min, width):
    rng = np.random.default_rng(seed)
    X, V = rng.normal(size=(6, 3)), rng.normal(size=(9, 3))
    how = {"classes": [0], "d_min": d_min, "d_max": min(2.0, d_min + width), "precision": "float64"}
    more = class_scores(X, [0] * 6, V, **how)
    fewer = class_scores(X[:-1], [0] * 5, V, **how)
    assert (more - fewer).min() >= -1e-12
    assert (more - fewer).max() <= 1 + 1e-12
    assert (more >= 0).all()
    assert (more <= 6).all()


@given(st.integers(0, 2**31), st.floats(1e-3, 1e3))
def test_length_and_order_of_records_do_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    X, V = rng.normal(size=(6, 3)), rng.normal(size=(4, 3))
    how = {"classes": [0], "d_min": 0.5, "d_max": 1.5, "precision": "float64"}
    found = class_scores(X, [0] * 6, V, **how)
    turned = class_scores(scale * X[rng.permutation(6)], [0] * 6, V / scale, **how)
    np.testing.assert_allclose(found, turned, atol=1e-12)


def test_huge_and_tiny_rows_have_a_direction():
    X = np.array([[1e30, 0.0], [1e-30, 0.0]], dtype=np.float32)
    found = class_scores(X, [0, 0], [[1.0, 0.0]], classes=[0], d_min=0, d_max=2)
    np.testing.assert_allclose(found, [[2.0]], atol=1e-6)
    wide = np.array([[3e200, 4e200], [3e-200, 4e-200], [3e-20, 4e-20]])
    for precision in ("float32", "float64"):
        for d_max in (2.0, 1.9):
            found = class_scores(wide, [0] * 3, wide, classes=[0], d_min=0, d_max=d_max, precision=precision)
            np.testing.assert_allclose(found, [[3.0] * 3], atol=1e-6)


def test_pooling_by_hand_and_against_a_loop():
    np.testing.assert_array_equal(pool_features([[1, 3, 5, 7, 9.0]], pool=2), [[2, 6]])
    X = np.random.default_rng(0).normal(size=(3, 10))
    loop = [[sum(row[j : j + 3]) / 3 for j in (0, 3, 6)] for row in X.tolist()]
    np.testing.assert_allclose(pool_features(X, pool=3), loop)
    np.testing.assert_array_equal(pool_features(X, pool=1), X)


GOOD = {"classes": [0, 1], "d_min": 0.0, "d_max": 2.0}
ONE = np.array([[1.0, 0.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"X": [[1.0, np.nan], [0, 1]]},
            r"embeddings must be finite, .* 1 of 2 rows, the first at position 0",
        ),
        ({"V": [[1.0, np.inf]]}, r"public_embeddings must be finite"),
        ({"X": [[1.0, 0.0], [0, 0]]}, r"embeddings must have no zero row: 1 of 2 .* position 1"),
        ({"V": [[0.0, 0.0]]}, r"public_embeddings must have no zero row"),
        ({"V": [[1.0, 0.0, 0.0]]}, r"public_embeddings must have 2 dimensions .* got 3"),
        ({"X": [1.0, 2.0]}, r"embeddings must be a matrix"),
        ({"V": np.zeros((0, 2))}, r"public_embeddings must be a matrix of embeddings"),
        ({"y": [0, 5]}, r"labels must be among the 2 classes, got .*5.* at position 1 \(1 of 2\)"),
        ({"y": [0]}, r"labels must have one label for each of the 2 embeddings"),
        ({"y": [0.5, 1]}, r"labels must be class labels"),
        ({"classes": []}, r"classes must be a non-empty list"),
        ({"classes": [0, 1, 1]}, r"classes must name every class once"),
        ({"d_min": 1.0, "d_max": 1.0}, r"0 <= d_min < d_max <= 2, got d_min = 1.0 and d_max = 1.0"),
        ({"d_max": 2.5}, r"0 <= d_min < d_max <= 2"),
        ({"d_min": -0.1}, r"0 <= d_min < d_max <= 2"),
        ({"block_size": 0}, r"block_size must be at least 1, got 0"),
        ({"precision": "int8"}, r"precision must be one of"),
    ],
)
def test_bad_input_is_named(change, match):
    given_ = {"X": ONE, "y": [0, 1], "V": ONE, **GOOD, **change}
    with pytest.raises(ValueError, match=match):
        class_scores(given_.pop("X"), given_.pop("y"), given_.pop("V"), **given_)


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match=r"labels and classes must be of one kind"):
        class_scores(ONE, ["a", "b"], ONE, **GOOD)
    with pytest.raises(TypeError, match=r"d_min must be a number, got '0'"):
        class_scores(ONE, [0, 1], ONE, classes=[0, 1], d_min="0", d_max=2)
    with pytest.raises(TypeError, match=r"embeddings must hold numbers"):
        class_scores(np.array([["a", "b"]]), [0], ONE, **GOOD)
    with pytest.raises(ValueError, match=r"pool must be at most the 2 dimensions"):
        pool_features(ONE, pool=3)
    with pytest.raises(ValueError, match=r"pool must be at least 1"):
        pool_features(ONE, pool=0)
    with pytest.raises(ValueError, match=r"embeddings must have no zero row"):
        unit_rows([[0.0, 0.0]])


def test_classes_read_off_the_labels_are_warned_about():
    with pytest.warns(ClassListWarning, match="read off the private labels"):
        found = class_scores(ONE, [7, 3], ONE, classes=None, d_min=0, d_max=2)
    np.testing.assert_allclose(found, [[0.5, 1.0], [1.0, 0.5]], atol=1e-7)  # classes 3, 7
