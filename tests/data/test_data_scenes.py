"""Scenes: geometry by hand, independence of colour and shape, stability under subsets, nulls, refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.data import card, make_scenes, scene_nulls
from trustlib.data.scene_draws import draw_scenes, noise_stream
from trustlib.data.scene_rendering import outlines, render
from trustlib.data.scenes import MASK_CLASSES, reference_fingerprint


def draws_of(index=(0,), *, objects=(1, 3), **changes):
    draws = draw_scenes(np.array(index), seed=0, color_seed=0, objects=objects)
    return dataclasses.replace(draws, **{name: np.asarray(value) for name, value in changes.items()})


def drawn(draws, size=40, texture=0.0):
    nothing = np.zeros(len(draws.index), dtype=bool)
    return render(draws, size=size, texture=texture, noise=0.0, color_seed=0, atypical=nothing)


def one_object(shape, **changes):
    base = {"shape": [[shape, 0, 0]], "count": [1], "depth": [[2.0, 3.0, 3.0]], "center": [[0.5, 0.5, 0.5]]}
    base |= {"radius": [[0.2, 0.1, 0.1]], "horizon": [0.4], "wall": [5.0], "yaw": [[0.0, 0, 0]]}
    return drawn(draws_of(**base | changes))


def test_ground_depth_follows_the_camera_equation():
    _, canvas = drawn(draws_of(count=[0], horizon=[0.4], wall=[5.0]))
    # row 39 of 40 lies at v = 39.5 / 40 = 0.9875: depth = (1 - 0.4) / (0.9875 - 0.4) = 1.02128
    # row 25 at v = 25.5 / 40 = 0.6375: depth = 0.6 / 0.2375 = 2.52632
    # row 17 at v = 0.4375: 0.6 / 0.0375 = 16 m, behind the wall at 5 m
    np.testing.assert_allclose(canvas.depth[0, [39, 25, 17], 7], [1.02128, 2.52632, 5.0], rtol=1e-5)
    np.testing.assert_array_equal(canvas.mask[0, [39, 25, 17], 7], [0, 0, 1])


def test_sphere_has_the_depth_of_a_ball():
    _, canvas = one_object(0)
    # contact row 0.4 + 0.6 / 2 = 0.7, centre row 0.7 - 0.2 = 0.5. Pixel (19, 19) at (0.4875, 0.4875):
    # a = (0.4875 - 0.5) / 0.2 = -0.0625, b = (0.7 - 0.4875) / 0.2 - 1 = 0.0625, q = 1 - 2 * 0.00390625 = 0.9921875
    # depth = 2 - 0.45 * sqrt(0.9921875) = 2 - 0.45 * 0.99608610 = 1.55176
    assert canvas.depth[0, 19, 19] == pytest.approx(1.55176, abs=1e-5)
    # area of the ball: pi * 0.2^2 = 0.12566 of the image; a grid of 40 x 40 misses by less than its rim
    assert (canvas.mask[0] == 2).mean() == pytest.approx(0.12566, abs=2 * np.pi * 0.2 / 40 / 2)


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (1, 1.7 * 1.7 * 0.04),  # box: width 2 * 0.85 r, height 1.7 r, r = 0.2
        (2, 0.5 * 1.9 * 2.0 * 0.04),  # cone: base 2 * 0.95 r, height 2 r
        (3, 1.24 * 2.0 * 0.04),  # cylinder: width 2 * 0.62 r, height 2 r
    ],
)
def test_shapes_cover_their_area(shape, area):
    _, canvas = one_object(shape)
    # the rim of at most 8 r = 1.6 image widths crosses 64 pixels, each wrong by half on average at most
    assert (canvas.mask[0] == 2 + shape).mean() == pytest.approx(area, abs=0.5 * 64 / 1600)


def test_nearer_object_hides_the_farther_one():
    near = {"depth": [[1.5, 3.0, 3.0]], "count": [2], "radius": [[0.3, 0.1, 0.1]]}
    _, canvas = one_object(1, **near)
    alone = one_object(1, **near | {"count": [1]})[1]
    covered = alone.mask[0] == 3
    np.testing.assert_array_equal(canvas.mask[0][covered], 3)


def test_subject_is_the_nearest_object_in_every_scene():
    draws = draw_scenes(np.arange(500), seed=5, color_seed=5, objects=(3, 3))
    assert (draws.depth[:, 1:] - draws.depth[:, :1]).min() >= 0.3 - 1e-12
    assert draws.depth.min() >= 1.3
    assert draws.depth.max() <= 3.4


@given(st.integers(0, 60), st.integers(1, 9), st.sampled_from([16, 32, 48]))
def test_any_window_equals_that_part_of_a_longer_run(start, n, size):
    window = make_scenes(n, size=size, seed=3, start=start, atypical=0.3)
    whole = make_scenes(start + n, size=size, seed=3, atypical=0.3)
    np.testing.assert_array_equal(window.image, whole.image[start:])
    np.testing.assert_array_equal(window.mask, whole.mask[start:])
    np.testing.assert_array_equal(window.depth, whole.depth[start:])
    assert window.caption == whole.caption[start:]
    np.testing.assert_array_equal(window.atypical, whole.atypical[whole.atypical >= start] - start)


def test_another_color_seed_repaints_the_same_geometry():
    one, other = make_scenes(40, seed=2), make_scenes(40, seed=2, color_seed=9)
    np.testing.assert_array_equal(one.label, other.label)
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_array_equal(one.depth, other.depth)
    assert np.abs(one.image - other.image).mean(axis=(1, 2, 3)).min() > 0.02
    third = make_scenes(40, seed=3, color_seed=2)
    assert (third.mask != one.mask).any(axis=(1, 2)).all()


def test_labels_are_balanced_in_every_block_of_four():
    label = make_scenes(40, size=16, seed=11).label.reshape(10, 4)
    np.testing.assert_array_equal(np.sort(label, axis=1), np.tile(np.arange(4), (10, 1)))
    assert len({tuple(row) for row in label.tolist()}) > 1


def test_mask_of_the_subject_is_its_label():
    scenes = make_scenes(60, objects=(1, 1))
    for label, mask in zip(scenes.label, scenes.mask, strict=True):
        assert set(np.unique(mask[mask >= 2]).tolist()) == {2 + label}
    assert scenes.depth.min() > 0.8
    assert scenes.depth.max() <= 5.5


def test_larger_share_contains_the_atypical_scenes_of_a_smaller_one():
    small, large = make_scenes(200, size=16, atypical=0.1), make_scenes(200, size=16, atypical=0.4)
    assert set(small.atypical.tolist()) <= set(large.atypical.tolist())
    # binomial(200, 0.4): mean 80, standard deviation 6.93; four of them either way
    assert abs(len(large.atypical) - 80) < 28
    usual = np.setdiff1d(np.arange(200), large.atypical)
    np.testing.assert_array_equal(large.image[usual], make_scenes(200, size=16).image[usual])
    assert len(make_scenes(20, size=16).atypical) == 0


def test_atypical_kinds_are_what_they_say():
    plain = make_scenes(60, noise=0.0)
    odd = make_scenes(60, noise=0.0, atypical=1.0)
    np.testing.assert_array_equal(odd.label, plain.label)
    for position, kind in zip(odd.atypical, odd.kind, strict=True):
        one, two = plain.image[position], odd.image[position]
        if kind == "negative":
            np.testing.assert_allclose(two, 1 - one, atol=1e-6)
        elif kind == "upside down":
            np.testing.assert_array_equal(two, one[:, ::-1])
            np.testing.assert_array_equal(odd.mask[position], plain.mask[position][::-1])
            np.testing.assert_array_equal(odd.depth[position], plain.depth[position][::-1])
        elif kind == "dark":
            assert two.mean() < 0.3 * one.mean()
        else:
            changed = np.abs(two - one).max(axis=0) > 0
            assert set(np.unique(plain.mask[position][changed]).tolist()) == {2 + plain.label[position]}
        assert kind == "checkered" or kind in odd.caption[position] or kind == "negative"
    assert len(set(odd.kind)) == 4


def test_outline_marks_only_rims_of_objects():
    plain, void = make_scenes(20), make_scenes(20, outline=True)
    changed = plain.mask != void.mask
    assert changed.any(axis=(1, 2)).all()
    assert set(np.unique(void.mask[changed]).tolist()) == {255}
    assert plain.mask[changed].min() >= 2
    instance = np.full((1, 4, 4), -1, dtype=np.int8)
    instance[0, 1:3, 1:3] = 0  # all four object pixels touch the background
    assert outlines(instance).sum() == 4


def test_pixels_are_multiples_of_one_level_and_noise_has_its_deviation():
    clean, noisy = make_scenes(40, noise=0.0), make_scenes(40, noise=0.05)
    np.testing.assert_array_equal(np.rint(clean.image * 255) / np.float32(255), clean.image)
    inside = (clean.image > 0.25) & (clean.image < 0.75)  # clipping is five deviations away
    error = (noisy.image - clean.image)[inside]
    # standard error of a deviation from m values: 0.05 / sqrt(2 m) < 1e-4 for m > 50 000; rounding adds 1/255/sqrt(12)
    assert error.std() == pytest.approx(0.05, abs=1e-3)
    assert noise_stream(0, 1).random() != noise_stream(0, 2).random()


def test_captions_name_what_is_seen():
    scenes = make_scenes(80, seed=4)
    for caption, label, mask in zip(scenes.caption, scenes.label, scenes.mask, strict=True):
        subject = caption.split(" on the ")[0].split(" in the ")[0]
        assert subject.endswith(MASK_CLASSES[2 + label])
        others = {name for name in MASK_CLASSES[2:] if name in caption.split(" in front of ")[-1]}
        seen = {MASK_CLASSES[c] for c in np.unique(mask) if (mask == c).mean() > 0.02 and c >= 2}
        assert seen <= others | {MASK_CLASSES[2 + label]}


def test_nulls_are_near_those_of_the_specification():
    null = scene_nulls(n_train=1000, n_test=400)
    assert null.accuracy == 0.25
    # chance 0.25; standard error of 400 answers 0.022; three of them
    assert abs(null.mean_color_accuracy - 0.25) < 0.065
    assert null.miou == pytest.approx(0.305, abs=0.02)
    assert null.pixel_accuracy == pytest.approx(0.75, abs=0.02)
    assert null.rmse == pytest.approx(0.88, abs=0.06)
    assert sum(null.shares) == pytest.approx(1.0)


def test_a_planted_color_cue_is_noticed_by_the_mean_color_control():
    from sklearn.linear_model import LogisticRegression

    scenes = make_scenes(400, seed=1)
    leaky = scenes.image + 0.1 * scenes.label[:, None, None, None]
    features = leaky.mean(axis=(2, 3))
    score = (
        LogisticRegression(max_iter=500)
        .fit(features[:200], scenes.label[:200])
        .score(features[200:], scenes.label[200:])
    )
    assert score > 0.25 + 3 * 0.031  # standard error of 200 answers at chance: 0.031


def test_card_shows_pictures_and_nulls():
    text = card("scenes").to_markdown()
    assert "data:image/png;base64," in text
    assert "0.302" in text
    assert reference_fingerprint() in text


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"n": 0}, ValueError, "n must be at least 1, got 0"),
        ({"size": 8}, ValueError, "size must be at least 16"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 0.5}, TypeError, "seed must be a whole number"),
        ({"objects": (0, 2)}, ValueError, "objects must be"),
        ({"objects": (3, 2)}, ValueError, "objects must be"),
        ({"texture": 0.9}, ValueError, r"texture must be in \[0, 0.5\], got 0.9"),
        ({"noise": -0.1}, ValueError, "noise must be a finite number"),
        ({"atypical": 1.2}, ValueError, "atypical must be a share"),
    ],
)
def test_scenes_refuse(change, error, match):
    with pytest.raises(error, match=match):
        make_scenes(**{"n": 1} | change)
