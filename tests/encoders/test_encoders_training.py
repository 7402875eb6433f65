"""Training: the same weights however often it was interrupted; nothing global is touched; recipes and schedules."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from trustlib.encoders import Recipe, augmentation, train
from trustlib.encoders.checkpoints import read_checkpoint, replace_file, write_checkpoint
from trustlib.encoders.methods import METHODS
from trustlib.encoders.optimization import learning_rate, make_optimizer
from trustlib.encoders.recipes import code_version, meaning
from trustlib.encoders.training import batch_rows, make_method

SMALL = {"widths": (4, 4, 8, 8, 8)}
OPTIONS = {
    "dino": {"hidden_dim": 16, "bottleneck_dim": 8, "output_dim": 12}, "mocov2": {"queue": 16, "output_dim": 8},
    "mae": {"decoder_depth": 1}, "simclr": {"output_dim": 8}, "vicreg": {"output_dim": 8},
}  # fmt: skip


def recipe_of(method="simclr", **changes):
    vit = method == "mae"
    base = Recipe(
        method=method, backbone="small_vit" if vit else "small_conv", steps=6, batch_size=6,
        backbone_options={"dim": 8, "depth": 1} if vit else SMALL, method_options=OPTIONS.get(method, {}),
        augment=augmentation("weak"),
    )  # fmt: skip
    return replace(base, **changes)


def pixels_of(n=20, *, size=16):
    return np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


LABELS = np.arange(20) % 3


def equal(one, two):
    first, second = one.method.state_dict(), two.method.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("method", METHODS)
def test_a_stopped_run_continues_to_bit_identical_weights(method, tmp_path):
    recipe = recipe_of(method)
    whole = train(recipe, pixels_of(), LABELS, snapshots=[2, 5])
    path = tmp_path / "c"

    class Stop(Exception):
        pass

    from trustlib.encoders import training

    original = training._Run.advance

    def stopping(run):
        if run.step == 4:
            raise Stop
        return original(run)

    training._Run.advance = stopping
    try:
        with pytest.raises(Stop):
            train(recipe, pixels_of(), LABELS, snapshots=[2, 5], checkpoint=path, checkpoint_every=3)
    finally:
        training._Run.advance = original
    assert read_checkpoint(path)["step"] == 3
    again = train(recipe, pixels_of(), LABELS, snapshots=[2, 5], checkpoint=path, checkpoint_every=3)
    assert equal(whole, again)
    np.testing.assert_array_equal(whole.losses, again.losses)
    for step in (2, 5):
        one, two = whole.snapshots[step].state_dict(), again.snapshots[step].state_dict()
        assert all(torch.equal(one[k], two[k]) for k in one)
    assert read_checkpoint(path)["step"] == 6


SCRIPT = """
import sys, pathlib, numpy as np, torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
from test_encoders_training import pixels_of, recipe_of
from trustlib.encoders import train
result = train(recipe_of(steps=120), pixels_of(), checkpoint=pathlib.Path({path!r}), checkpoint_every=3)
torch.save(result.method.state_dict(), {path!r} + ".final")
"""


def test_kill_9_and_continue_gives_bit_identical_weights(tmp_path):
    here = os.path.dirname(__file__)

    def start(path):
        code = SCRIPT.format(tests=here, path=str(path))
        return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)

    undisturbed = start(tmp_path / "a")
    killed = start(tmp_path / "b")
    deadline = time.monotonic() + 120
    while not (tmp_path / "b").exists() and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    assert not (tmp_path / "b.final").exists(), "the run was over before it could be killed"
    assert 0 < read_checkpoint(tmp_path / "b")["step"] < 120
    again = start(tmp_path / "b")
    for process in (again, undisturbed):
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors.decode()
    one, two = torch.load(tmp_path / "a.final"), torch.load(tmp_path / "b.final")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign", "empty"])
def test_damaged_checkpoints_are_not_trusted(damage, tmp_path):
    path, recipe = tmp_path / "c", recipe_of()
    whole = train(recipe, pixels_of(), checkpoint=path)
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        path.write_bytes(content[:-10] + bytes([content[-10] ^ 1]) + content[-9:])
    elif damage == "foreign":
        path.write_bytes(b"something else")
    else:
        path.write_bytes(b"")
    assert read_checkpoint(path) is None
    assert equal(whole, train(recipe, pixels_of(), checkpoint=path))


def test_checkpoint_of_another_recipe_or_data_is_refused(tmp_path):
    path = tmp_path / "c"
    train(recipe_of(), pixels_of(), checkpoint=path)
    for recipe, pixels in ((recipe_of(seed=1), pixels_of()), (recipe_of(), pixels_of() // 2)):
        with pytest.raises(ValueError, match="belongs to another recipe, data set or version"):
            train(recipe, pixels, checkpoint=path)


def test_the_seed_decides_and_the_global_state_does_not():
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one = train(recipe_of(), pixels_of())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    torch.manual_seed(6)
    assert equal(one, train(recipe_of(), pixels_of()))
    assert not equal(one, train(recipe_of(seed=1), pixels_of()))


def test_dropout_is_reproducible_too(monkeypatch):
    from trustlib.encoders import training

    original = training.make_method

    def with_dropout(*arguments, **options):
        method = original(*arguments, **options)
        method.encoder.body.conv5.act = nn.Dropout(0.5)
        return method

    monkeypatch.setattr(training, "make_method", with_dropout)
    assert equal(train(recipe_of(), pixels_of()), train(recipe_of(), pixels_of()))


def test_views_belong_to_images_not_to_their_place_in_the_data():
    pixels, order = pixels_of(6), np.array([3, 1, 5, 0, 2, 4])
    recipe = recipe_of(steps=1, batch_size=6)
    one = train(recipe, pixels)
    two = train(recipe, pixels[order], index=order)
    # one batch of all images in another order: the same loss up to the order of summation
    assert one.losses[0] == pytest.approx(two.losses[0], abs=1e-5)
    three = train(recipe, pixels[order])  # the control: identities forgotten, other views
    assert abs(three.losses[0] - one.losses[0]) > 1e-4


def test_every_visit_is_a_permutation():
    recipe = recipe_of(batch_size=5)
    rows = [batch_rows(recipe, 20, number) for number in range(8)]
    assert [visit for _, visit in rows] == [0] * 4 + [1] * 4
    for start in (0, 4):
        assert sorted(np.concatenate([r for r, _ in rows[start : start + 4]]).tolist()) == list(range(20))
    assert not np.array_equal(rows[0][0], rows[4][0])


def test_accumulated_gradients_are_the_mean_over_passes():
    # without normalisation over the batch and with one view each, 2 passes of 6 equal one pass of 12
    shared = {
        "norm": "group",
        "optimizer": "sgd",
        "steps": 1,
        "learning_rate": 0.1,
        "warmup": 0.0,
        "weight_decay": 0.0,
    }
    pixels = pixels_of(12)
    one = train(recipe_of("supervised", batch_size=12, **shared), pixels, LABELS[:12])
    two = train(recipe_of("supervised", batch_size=6, accumulate=2, **shared), pixels, LABELS[:12])
    assert one.losses[0] == pytest.approx(two.losses[0], abs=1e-5)
    for a, b in zip(one.encoder.parameters(), two.encoder.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_supervised_training_learns_and_unsupervised_ignores_labels():
    pixels = np.zeros((24, 3, 16, 16), dtype=np.uint8)
    pixels[::2, 0] = 255  # red or black
    recipe = recipe_of(
        "supervised", steps=30, batch_size=12, learning_rate=1e-2, augment=augmentation("none")
    )
    result = train(recipe, pixels, np.arange(24) % 2)
    assert result.losses[-1] < 0.1 < result.losses[0]
    assert not result.encoder.training
    assert not any(p.requires_grad for p in result.method.parameters())
    assert equal(train(recipe_of(), pixels_of()), train(recipe_of(), pixels_of(), LABELS))


@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"channels_last": True}, {"clip_norm": 0.1}])
def test_precision_and_layout_change_little(changes):
    one, two = train(recipe_of(), pixels_of()), train(recipe_of(**changes), pixels_of())
    assert two.losses[0] == pytest.approx(one.losses[0], abs=0.05)
    assert all(p.dtype == torch.float32 for p in two.encoder.parameters())


def test_images_of_other_sizes_are_cut_to_the_view():
    recipe = recipe_of("mae", augment=augmentation("weak", size=16))
    assert train(recipe, pixels_of(size=24)).encoder.body.size == 16


def test_learning_rate_by_hand():
    recipe = recipe_of(steps=10, warmup=0.2, learning_rate=1.0)
    # two warm-up steps: 1/2, 1; then (1 + cos(pi s / 8)) / 2 for s = 0 ... 7: 1, 0.9619, 0.8536, ..., 0.0381
    rates = [learning_rate(recipe, step) for step in range(10)]
    np.testing.assert_allclose(rates[:5], [0.5, 1.0, 1.0, 0.96194, 0.85355], atol=1e-5)
    assert rates[9] == pytest.approx(0.03806, abs=1e-5)
    assert learning_rate(recipe_of(warmup=0.0, learning_rate=3.0), 0) == 3.0


def test_only_matrices_are_decayed():
    method = make_method(recipe_of(weight_decay=0.3), size=16, channels=3, n_classes=None)
    for name in ("adam", "adamw", "sgd", "lars"):
        optimizer = make_optimizer(recipe_of(optimizer=name, weight_decay=0.3), method)
        decayed, plain = optimizer.param_groups
        assert decayed["weight_decay"] == 0.3
        assert plain["weight_decay"] == 0.0
        assert min(p.ndim for p in decayed["params"]) > 1 >= max(p.ndim for p in plain["params"])
        assert train(recipe_of(optimizer=name, steps=1), pixels_of()).losses.shape == (1,)
    method.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        make_optimizer(recipe_of(), method)


def test_not_finite_loss_names_the_step():
    pixels = np.full((8, 3, 16, 16), np.nan, dtype=np.float32)
    with pytest.raises(FloatingPointError, match="the loss is nan in step 0 of 6"):
        train(recipe_of(), pixels)


def test_recipe_round_trip_and_hash():
    recipe = recipe_of("mae", augment=augmentation("dino", size=16), seed=4)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    hashes = {
        r.hash(data=d)
        for r, d in (
            (recipe, ""), (recipe, "x"), (replace(recipe, steps=7), ""), (replace(recipe, seed=5), ""),
            (replace(recipe, augment=replace(recipe.augment, hue=0.2)), ""),
        )
    }  # fmt: skip
    assert len(hashes) == 5
    assert recipe.hash() == replace(recipe).hash()


def test_options_are_plain_values():
    recipe = recipe_of(backbone_options={"widths": (4, 4, 8, 8, 8)})
    assert recipe.backbone_options == {"widths": [4, 4, 8, 8, 8]}
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert equal(train(recipe, pixels_of()), train(recipe_of(), pixels_of()))
    with pytest.raises(TypeError, match="method_options must hold numbers, texts and lists"):
        recipe_of(method_options={"temperature": torch.ones(1)})


def test_read_only_files_can_be_trained_on(tmp_path):
    np.save(tmp_path / "pixels.npy", pixels_of())
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    assert equal(train(recipe_of(), mapped), train(recipe_of(), pixels_of()))


def test_one_private_step_with_opacus():
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    from trustlib.encoders import PerExample, view_keys

    recipe = recipe_of("simsiam", norm="group", private=True)
    module = PerExample(make_method(recipe, size=16, channels=3, n_classes=None))
    wrapped = GradSampleModule(module, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(module.parameters(), lr=1.0), noise_multiplier=0.0, max_grad_norm=0.01,
        expected_batch_size=4, loss_reduction="sum", generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    before = [p.detach().clone() for p in module.parameters()]
    keys = view_keys(0, np.arange(4), 0)
    pair = [
        recipe.augment.keyed(torch.from_numpy(pixels_of(4)), view_keys(0, np.arange(4), v)) for v in (0, 1)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # opacus registers full backward hooks on inputs without gradients
        wrapped(torch.stack(pair, dim=1), None, torch.from_numpy(keys)).sum().backward()
    optimizer.step()
    # without noise the step is a sum of four gradients clipped to 0.01: no longer than 0.04 in all
    moved = sum(
        float((p.detach() - b).square().sum()) for p, b in zip(module.parameters(), before, strict=True)
    )
    assert 0 < moved**0.5 <= 0.04 * 1.001


@pytest.mark.gpu
def test_a_gpu_sees_the_same_views():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    one, two = train(recipe_of(), pixels_of()), train(recipe_of(), pixels_of(), device="cuda")
    assert two.losses[0] == pytest.approx(one.losses[0], abs=1e-3)
    assert next(two.encoder.parameters()).device.type == "cuda"


def test_code_version_ignores_words_and_notices_code():
    source = 'def f(x):\n    """Adds one."""\n    return x + 1  # one more\n'
    assert meaning(source) == meaning('def f(x):\n    """Increments."""\n    return (x + 1)\n')
    assert meaning(source) != meaning(source.replace("+ 1", "+ 2"))
    assert len(code_version()) == 64


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"method": "byol"}, "method must be one of"),
        ({"steps": 0}, "steps must be a whole number >= 1"),
        ({"batch_size": 1}, "batch_size must be a whole number >= 2"),
        ({"accumulate": 0.5}, "accumulate must be a whole number"),
        ({"optimizer": "rmsprop"}, "optimizer must be"),
        ({"precision": "float16"}, "precision must be"),
        ({"learning_rate": 0.0}, "learning_rate must be > 0"),
        ({"warmup": 1.0}, "warmup is a share"),
        ({"clip_norm": 0.0}, "clip_norm must be > 0"),
    ],
)
def test_recipe_refuses(changes, match):
    with pytest.raises(ValueError, match=match):
        recipe_of(**changes)


@pytest.mark.parametrize(
    ("pixels", "options", "error", "match"),
    [
        (np.zeros((4, 3, 16, 16), np.uint8), {}, ValueError, "a step takes batch_size .* = 6 images, got 4"),
        (np.zeros((8, 3, 16, 12), np.uint8), {}, ValueError, "square images"),
        (np.zeros((8, 3, 16, 16), np.int32), {}, TypeError, "uint8 or floating point"),
        (
            np.zeros((8, 3, 16, 16), np.uint8),
            {"labels": [0, 1]},
            ValueError,
            "labels must have one entry per image",
        ),
        (
            np.zeros((8, 3, 16, 16), np.uint8),
            {"index": [0]},
            ValueError,
            "index must have one entry per image",
        ),
        (
            np.zeros((8, 3, 16, 16), np.uint8),
            {"snapshots": [7]},
            ValueError,
            "snapshots must be steps in 1 to 6",
        ),
    ],
)
def test_train_refuses(pixels, options, error, match):
    with pytest.raises(error, match=match):
        train(recipe_of(), pixels, **options)


def test_files_are_replaced_whole(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file"
    replace_file(path, b"one")

    def broken(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        replace_file(path, b"two")
    assert path.read_bytes() == b"one"
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    monkeypatch.undo()
    write_checkpoint(path, {"a": torch.ones(2), "b": [1.0]})
    state = read_checkpoint(path)
    assert torch.equal(state["a"], torch.ones(2))
    assert read_checkpoint(tmp_path / "absent") is None


def test_progress_bar_is_silent_unless_asked_for(capsys, monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    train(recipe_of(steps=1), pixels_of())
    assert capsys.readouterr().err == ""
    train(recipe_of(steps=1), pixels_of(), progress=True)
    assert "simclr small_conv" in capsys.readouterr().err
    monkeypatch.setenv("TQDM_DISABLE", "1")
    train(recipe_of(steps=1), pixels_of(), progress=True)
    assert capsys.readouterr().err == ""
