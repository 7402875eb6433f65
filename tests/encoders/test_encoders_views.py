"""Batched augmentation: equal to torchvision one image at a time, keyed per image, distributed as torchvision draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from trustlib.encoders.keys import key_uniforms, view_keys
from trustlib.encoders.operations import (
    adjust_hue,
    color_jitter,
    crop_resize,
    gaussian_blur,
    grey,
    solarize,
)
from trustlib.encoders.views import Augmentation, apply_views, augmentation, draw_views

EVERYTHING = Augmentation(
    crop_area=(0.1, 1.0), vertical_flip=0.5, jitter=0.8, brightness=0.6, contrast=0.7, saturation=0.8, hue=0.4,
    grey=0.3, blur=0.5, blur_kernel=5, solarize=0.3, invert=0.3,
)  # fmt: skip


def images_of(n, *, height=12, width=10, channels=3, seed=0):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


def one_by_one(a, images, views):
    """The same views by torchvision's functional operations, image by image."""
    out = []
    for b, image in enumerate(images):
        top, left, height, width = views.boxes[b].tolist()
        size = list(image.shape[-2:]) if a.size is None else [a.size, a.size]
        x = F.resized_crop(image, top, left, height, width, size, antialias=True)
        x = F.horizontal_flip(x) if views.flip[b] else x
        x = F.vertical_flip(x) if views.vertical_flip[b] else x
        if views.jitter[b]:
            for operation in views.order[b].tolist():
                adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)[
                    operation
                ]
                x = adjust(x, float(views.factors[b, operation]))
        x = F.rgb_to_grayscale(x, 3) if views.grey[b] else x
        x = F.gaussian_blur(x, [a.blur_kernel] * 2, [float(views.sigma[b])] * 2) if views.blur[b] else x
        x = F.solarize(x, 0.5) if views.solarize[b] else x
        out.append(F.invert(x) if views.invert[b] else x)
    return torch.stack(out)


@pytest.mark.parametrize("size", [None, 7, 20])
@pytest.mark.parametrize("changes", [{"solarize": 0.0}, {"jitter": 0.0, "grey": 0.0, "blur": 0.0}])
def test_views_equal_torchvisions_operations_with_the_same_parameters(size, changes):
    # solarising is discontinuous at its threshold, so it is compared where no rounding came before
    from dataclasses import replace

    a = replace(EVERYTHING, size=size, **changes)
    images = images_of(60)
    if "jitter" in changes:
        a = replace(a, crop_area=None, size=None)
    views = draw_views(a, view_keys(0, np.arange(60), 0), height=12, width=10)
    torch.testing.assert_close(apply_views(a, images, views), one_by_one(a, images, views), atol=2e-5, rtol=0)


@given(
    st.integers(1, 5),
    st.sampled_from([1, 3]),
    st.integers(5, 33),
    st.integers(5, 33),
    st.integers(1, 40),
    st.integers(),
)
def test_crop_equals_torchvision_for_any_shape(n, channels, height, width, size, seed):
    rng = np.random.default_rng(seed % 2**32)
    images = images_of(n, height=height, width=width, channels=channels, seed=seed % 2**32)
    h, w = rng.integers(1, height + 1, n), rng.integers(1, width + 1, n)
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    boxes = torch.from_numpy(np.stack([top, left, h, w], axis=1))
    got = crop_resize(images, boxes, size=(size, size + 1))
    want = [
        F.resized_crop(image, *box, [size, size + 1], antialias=True)
        for image, box in zip(images, boxes.tolist(), strict=True)
    ]
    torch.testing.assert_close(got, torch.stack(want), atol=1e-5, rtol=0)


def test_crop_by_hand():
    image = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).view(1, 1, 2, 2) / 4
    whole = torch.tensor([[0, 0, 2, 2]])
    # to one pixel: the mean of four, (0 + 1 + 2 + 3) / 16 = 0.375
    assert crop_resize(image, whole, size=(1, 1)).item() == pytest.approx(0.375)
    # to four columns: centres at 0.25, 0.75, 1.25, 1.75 pixels: values 0, 0.25, 0.75, 1 (quarters) in the first row
    wide = crop_resize(image, whole, size=(2, 4))[0, 0, 0] * 4
    np.testing.assert_allclose(wide, [0.0, 0.25, 0.75, 1.0], atol=1e-6)
    flipped = crop_resize(image, whole, size=(2, 4), flip=torch.tensor([True]))[0, 0, 0] * 4
    np.testing.assert_allclose(flipped, [1.0, 0.75, 0.25, 0.0], atol=1e-6)


def test_padding_shifts_and_fills_with_black():
    image = torch.arange(1.0, 10.0).view(1, 1, 3, 3) / 10
    shifted = crop_resize(image, torch.tensor([[-1, 1, 3, 3]]), size=(3, 3)) * 10
    np.testing.assert_allclose(shifted[0, 0], [[0, 0, 0], [2, 3, 0], [5, 6, 0]], atol=1e-5)
    a = Augmentation(crop_area=None, padding=2, flip=0, jitter=0, grey=0)
    boxes = draw_views(a, np.arange(4000), height=8, width=8).boxes[:, :2].numpy()
    counts = np.bincount((boxes + 2).ravel(), minlength=5)
    # 8000 draws from five shifts: mean 1600, standard deviation 36; four of them
    assert np.abs(counts - 1600).max() < 145


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_color_operations_equal_torchvision(n, height, width, seed):
    rng = np.random.default_rng(seed)
    images = images_of(n, height=height, width=width, seed=seed)
    images[0, :, 0] = 0.25  # equal channels: no hue
    factors = np.concatenate([rng.uniform(0, 2, (n, 3)), rng.uniform(-0.5, 0.5, (n, 1))], axis=1)
    factors = torch.from_numpy(factors.astype(np.float32))
    order = torch.from_numpy(rng.permuted(np.tile(np.arange(4), (n, 1)), axis=1))
    before = images.clone()
    got = color_jitter(images, factors, order)
    adjust = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
    for b in range(n):
        want = images[b]
        for operation in order[b].tolist():
            want = adjust[operation](want, float(factors[b, operation]))
        torch.testing.assert_close(got[b], want, atol=2e-5, rtol=0)
    assert torch.equal(images, before)


def test_jitter_of_grey_images_keeps_one_channel():
    images = images_of(3, channels=1)
    factors = torch.tensor([[0.5, 1.0, 1.7, 0.3]]).expand(3, 4)
    order = torch.arange(4).expand(3, 4)
    torch.testing.assert_close(color_jitter(images, factors, order), images * 0.5)


def test_blur_equals_torchvision_and_keeps_the_mean_of_constants():
    images = images_of(3)
    for kernel, sigmas in ((3, [0.1, 1.0, 2.0]), (7, [0.5, 2.0, 5.0]), (1, [1.0] * 3)):
        got = gaussian_blur(images, torch.tensor(sigmas), kernel=kernel)
        want = [F.gaussian_blur(x, [kernel] * 2, [s] * 2) for x, s in zip(images, sigmas, strict=True)]
        torch.testing.assert_close(got, torch.stack(want), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="kernel must be odd and between 1 and 19"):
        gaussian_blur(images, torch.ones(3), kernel=21)


def test_simple_operations_by_hand():
    pixel = torch.tensor([0.2, 0.4, 0.8]).view(1, 3, 1, 1)
    # 0.2989 * 0.2 + 0.587 * 0.4 + 0.114 * 0.8 = 0.05978 + 0.2348 + 0.0912 = 0.38578
    assert grey(pixel).item() == pytest.approx(0.38578, abs=1e-6)
    np.testing.assert_allclose(solarize(pixel, 0.4).flatten(), [0.2, 0.6, 0.2], atol=1e-6)
    # half a turn of hue 220 degrees is 40 degrees: value 0.8, chroma 0.6, 40 / 60 = 2/3: green = 0.2 + 0.6 * 2/3
    turned = adjust_hue(pixel, torch.tensor([0.5])).flatten()
    np.testing.assert_allclose(turned, [0.8, 0.6, 0.2], atol=1e-6)


@given(st.integers(0, 30), st.permutations(range(8)), st.integers(1, 8))
def test_views_do_not_depend_on_the_batch(seed, order, count):
    images = images_of(8, seed=seed)
    keys = view_keys(seed, np.arange(8), 3)
    together = EVERYTHING.keyed(images, keys)
    rows = list(order)[:count]
    part = EVERYTHING.keyed(images[rows], keys[rows])
    torch.testing.assert_close(part, together[rows], atol=1e-6, rtol=0)


def test_chunks_do_not_change_views(monkeypatch):
    from trustlib.encoders import views as module

    images, keys = images_of(9), np.arange(9)
    together = EVERYTHING.keyed(images, keys)
    monkeypatch.setattr(module, "_CHUNK", 400)  # one image at a time
    torch.testing.assert_close(EVERYTHING.keyed(images, keys), together, atol=1e-6, rtol=0)


def test_a_call_draws_from_its_generator_only():
    images = images_of(4)
    before = images.clone()
    state = torch.get_rng_state()
    one = EVERYTHING(images, torch.Generator().manual_seed(3))
    two = EVERYTHING(images, torch.Generator().manual_seed(3))
    three = EVERYTHING(images, torch.Generator().manual_seed(4))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(images, before)
    single = EVERYTHING(images[0], torch.Generator().manual_seed(3))
    torch.testing.assert_close(single, one[0], atol=1e-6, rtol=0)


def test_bytes_and_floats_give_the_same_view():
    pixels = (images_of(5) * 255).round().to(torch.uint8)
    keys = np.arange(5)
    torch.testing.assert_close(EVERYTHING.keyed(pixels, keys), EVERYTHING.keyed(pixels / 255, keys))


def test_no_change_is_no_change_and_values_stay_in_range():
    images = images_of(6)
    torch.testing.assert_close(augmentation("none").keyed(images, np.arange(6)), images, atol=1e-6, rtol=0)
    views = EVERYTHING.keyed(images, np.arange(6))
    assert 0 <= float(views.min()) <= float(views.max()) <= 1
    assert EVERYTHING.keyed(images[:0], []).shape == (0, 3, 12, 10)


def test_boxes_are_distributed_as_torchvision_draws_them():
    a = Augmentation(crop_area=(0.08, 1.0))
    n = 3000
    boxes = draw_views(a, view_keys(1, np.arange(n), 0), height=32, width=24).boxes.numpy()
    image = torch.zeros(3, 32, 24)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transform = v2.RandomResizedCrop(8, scale=(0.08, 1.0), antialias=True)
        drawn = [transform.make_params([image]) for _ in range(n)]
    other = np.array([[d["top"], d["left"], d["height"], d["width"]] for d in drawn])
    for column in range(4):
        pooled = np.concatenate([boxes[:, column], other[:, column]])
        error = pooled.std() * np.sqrt(2 / n)  # standard error of a difference of two means
        assert abs(boxes[:, column].mean() - other[:, column].mean()) < 4 * error
        # Kolmogorov-Smirnov distance: 1.95 sqrt(2 / n) is passed once in a thousand
        grid = np.arange(33)
        gap = [(boxes[:, column] <= g).mean() - (other[:, column] <= g).mean() for g in grid]
        assert np.abs(gap).max() < 1.95 * np.sqrt(2 / n)
    assert (boxes[:, 0] + boxes[:, 2]).max() <= 32
    assert (boxes[:, 1] + boxes[:, 3]).max() <= 24


def test_boxes_fall_back_to_the_middle_when_nothing_fits():
    a = Augmentation(crop_area=(1.0, 1.0), crop_ratio=(3.0, 3.0))
    # the whole area at ratio 3 never fits into a square of 12: the widest box is 12 x 4 in the middle
    boxes = draw_views(a, np.arange(5), height=12, width=12).boxes
    assert boxes.tolist() == [[4, 0, 4, 12]] * 5
    tall = Augmentation(crop_area=(1.0, 1.0), crop_ratio=(0.25, 0.25))
    assert draw_views(tall, np.arange(2), height=12, width=12).boxes.tolist() == [[0, 4, 12, 3]] * 2


def test_switches_have_their_probability():
    views = draw_views(EVERYTHING, view_keys(2, np.arange(4000), 1), height=12, width=10)
    for name, p in (
        ("flip", 0.5),
        ("vertical_flip", 0.5),
        ("jitter", 0.8),
        ("grey", 0.3),
        ("blur", 0.5),
        ("invert", 0.3),
    ):
        # standard error sqrt(p (1 - p) / 4000) <= 0.0079; four of them
        assert abs(getattr(views, name).float().mean().item() - p) < 0.032, name
    first = np.bincount(views.order[:, 0].numpy(), minlength=4) / 4000
    assert np.abs(first - 0.25).max() < 0.028
    low, high = views.factors.min(dim=0).values, views.factors.max(dim=0).values
    np.testing.assert_allclose(low, [0.4, 0.3, 0.2, -0.4], atol=0.005)
    np.testing.assert_allclose(high, [1.6, 1.7, 1.8, 0.4], atol=0.005)


def test_channels_are_scaled_and_shuffled():
    a = Augmentation(crop_area=None, flip=0, jitter=0, grey=0, channel_gain=0.4, channel_shuffle=0.0)
    images = torch.full((50, 3, 2, 2), 0.5)
    gains = a.keyed(images, np.arange(50))[:, :, 0, 0] / 0.5
    assert 0.6 <= float(gains.min()) < 0.7
    assert 1.3 < float(gains.max()) <= 1.4
    b = Augmentation(crop_area=None, flip=0, jitter=0, grey=0, channel_shuffle=1.0)
    pixels = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand(60, 3, 1, 1)
    rows = b.keyed(pixels, np.arange(60)).flatten(1)
    np.testing.assert_allclose(np.sort(rows, axis=1), np.tile([0.1, 0.2, 0.3], (60, 1)), atol=1e-6)
    assert len({tuple(np.argsort(row).tolist()) for row in rows.numpy()}) == 6


def splitmix(seed, index, view):
    """The mixer of splitmix64 on whole numbers of Python, one round per argument."""
    mask, key = (1 << 64) - 1, 0
    for part in (seed, index, view):
        key = (key ^ (part & mask)) + 0x9E3779B97F4A7C15 & mask
        key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9 & mask
        key = (key ^ key >> 27) * 0x94D049BB133111EB & mask
        key ^= key >> 31
    return key >> 1


@given(st.integers(0, 2**64 - 1), st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_keys_are_three_rounds_of_splitmix(seed, index, view):
    assert int(view_keys(seed, index, view)) == splitmix(seed, index, view)


def test_keys_differ_between_neighbours_and_look_uniform():
    keys = {int(key) for s in range(5) for key in view_keys(s, np.arange(40)[:, None], np.arange(20)).ravel()}
    assert len(keys) == 4000
    assert all(0 <= key < 2**63 for key in keys)
    u = key_uniforms(view_keys(0, np.arange(5000), 0), 8)
    # mean 1/2 with standard error 0.2887 / sqrt(5000) = 0.0041; correlations 1 / sqrt(5000) = 0.0141
    assert np.abs(u.mean(axis=0) - 0.5).max() < 4 * 0.0041
    assert np.abs(np.corrcoef(u.T) - np.eye(8)).max() < 4.5 * 0.0141


@pytest.mark.parametrize(
    "name", ["none", "pad_crop", "weak", "normal", "strong", "independent", "simclr", "moco", "dino"]
)
def test_presets_give_views_of_the_size_asked_for(name):
    views = augmentation(name, size=None if name == "pad_crop" else 9).keyed(images_of(3), np.arange(3))
    assert views.shape == (3, 3, 12, 10) if name == "pad_crop" else (3, 3, 9, 9)
    assert bool(torch.isfinite(views).all())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"flip": 1.2}, "flip must be a probability"),
        ({"brightness": -0.1}, "brightness must be >= 0"),
        ({"hue": 0.6}, "hue must be in"),
        ({"channel_gain": 2.0}, "channel_gain must be in"),
        ({"crop_area": (0.0, 1.0)}, "crop_area must be"),
        ({"padding": 2}, "exclude each other"),
        ({"crop_ratio": (2.0, 1.0)}, "crop_ratio must be"),
        ({"blur_sigma": (0.0, 1.0)}, "blur_sigma must be"),
        ({"blur_kernel": 4}, "blur_kernel must be odd"),
    ],
)
def test_augmentation_refuses(options, match):
    with pytest.raises(ValueError, match=match):
        Augmentation(**options)


def test_bad_images_keys_and_names_are_refused():
    with pytest.raises(ValueError, match=r"images must be \(B, 1 or 3, H, W\).*\(2, 4, 5, 5\)"):
        EVERYTHING.keyed(torch.rand(2, 4, 5, 5), [0, 1])
    with pytest.raises(TypeError, match=r"uint8 or floating point.*int64"):
        EVERYTHING.keyed(torch.zeros(1, 3, 5, 5, dtype=torch.int64), [0])
    with pytest.raises(ValueError, match="keys must hold one number per image"):
        EVERYTHING.keyed(images_of(2), [0])
    with pytest.raises(ValueError, match="strength must be one of none, pad_crop"):
        augmentation("brutal")
    with pytest.raises(ValueError, match="boxes must be"):
        crop_resize(images_of(2), torch.zeros(2, 3), size=(2, 2))
    with pytest.raises(ValueError, match="at least one pixel"):
        crop_resize(images_of(1), torch.tensor([[0, 0, 0, 2]]), size=(2, 2))
