"""Losses against plain loops over their equations; gradients per example against one example at a time."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from trustlib.encoders import (
    Augmentation,
    Batch,
    BatchLossError,
    PerExample,
    backbone,
    build_method,
    view_keys,
)
from trustlib.encoders.methods import METHODS
from trustlib.encoders.methods.base import move_teacher

VIT = {"dim": 16, "depth": 1, "heads": 2}


def views_of(n, *, views=2, size=16, seed=0):
    return torch.rand(views, n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def batch_of(n, *, views=2, labels=None, seed=0, size=16):
    return Batch(views_of(n, views=views, seed=seed, size=size), labels, view_keys(0, np.arange(n), 0))


def small(name, *, private=False, norm="batch", **options):
    net = "small_vit" if name == "mae" else "small_conv"
    body = VIT if name == "mae" else {"widths": (4, 4, 8, 8, 16)}
    encoder = backbone(net, size=16, norm=norm, options=body)
    if name == "dino":
        options = {"hidden_dim": 16, "bottleneck_dim": 8, "output_dim": 12} | options
    if name == "mocov2":
        options = {"queue": 12, "output_dim": 8} | options
    if name == "mae":
        options = {"decoder_depth": 1, "decoder_heads": 2} | options
    return build_method(
        name, encoder, seed=0, n_classes=3 if name == "supervised" else None, private=private, options=options
    )


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def projections(method, batch):
    """Projected views as arrays, in the mode the method is in."""
    with torch.no_grad():
        return [method.projector(f).double().numpy() for f in method.encode_views(batch.views)]


def test_simclr_equals_its_equation():
    method, batch = small("simclr", temperature=0.3, output_dim=8).eval(), batch_of(5)
    z = unit(np.concatenate(projections(method, batch)))
    total = 0.0
    for i in range(10):
        j = (i + 5) % 10
        others = [math.exp(z[i] @ z[k] / 0.3) for k in range(10) if k != i]
        total -= math.log(math.exp(z[i] @ z[j] / 0.3) / sum(others)) / 10
    assert method(batch).item() == pytest.approx(total, abs=1e-5)


def test_vicreg_equals_its_equations():
    method = small("vicreg", output_dim=6, invariance=2.0, variance=3.0, covariance=5.0).eval()
    batch = batch_of(7)
    one, two = projections(method, batch)
    value = 2.0 * np.mean((one - two) ** 2)
    for z in (one, two):
        d = z.shape[1]
        std = np.sqrt(z.var(axis=0, ddof=1) + 1e-4)
        cov = np.cov(z.T)
        # the variance term is averaged over the two views, the covariance term summed, as in the authors' code
        value += 3.0 * np.maximum(0, 1 - std).mean() / 2
        value += 5.0 * ((cov**2).sum() - (np.diag(cov) ** 2).sum()) / d
    assert method(batch).item() == pytest.approx(float(value), rel=1e-4)


def test_simsiam_equals_its_equation_and_stops_the_gradient():
    method, batch = small("simsiam").eval(), batch_of(4)
    z = projections(method, batch)
    with torch.no_grad():
        p = [method.predictor(torch.tensor(v, dtype=torch.float32)).double().numpy() for v in z]
    want = [-(unit(p[0][i]) @ unit(z[1][i]) + unit(p[1][i]) @ unit(z[0][i])) / 2 for i in range(4)]
    np.testing.assert_allclose(method.losses(batch).detach(), want, atol=1e-5)
    assert method(batch).item() == pytest.approx(np.mean(want), abs=1e-5)
    captured = []
    original = method.predictor.forward
    method.predictor.forward = lambda x: captured.append(x) or original(x).detach()
    loss = method(batch)
    assert (
        not loss.requires_grad
    )  # with the predictions cut off nothing is left: the targets carry no gradient
    assert captured[0].requires_grad


def test_moco_equals_its_equation_and_keeps_a_queue():
    method = small("mocov2", temperature=0.5, queue=6)
    batch = batch_of(4)
    queue = method.criterion.memory_bank.bank.clone().double().numpy()
    with torch.no_grad():
        q = unit(method.projector(method.encoder(batch.views[0])).double().numpy())
        k = unit(method.slow_projector(method.slow_encoder(batch.views[1])).double().numpy())
    want = 0.0
    for i in range(4):
        positive = math.exp(q[i] @ k[i] / 0.5)
        want -= math.log(positive / (positive + sum(math.exp(q[i] @ n / 0.5) for n in queue))) / 4
    assert method(batch).item() == pytest.approx(want, abs=1e-4)
    np.testing.assert_allclose(method.criterion.memory_bank.bank[:4], k, atol=1e-4)
    assert "criterion.memory_bank.bank" in method.state_dict()
    slow = method.slow_encoder.body.conv1.conv.weight.clone()
    fast = method.encoder.body.conv1.conv.weight
    with torch.no_grad():
        fast.add_(1.0)
    method.finish_step(0.5)
    torch.testing.assert_close(method.slow_encoder.body.conv1.conv.weight, 0.999 * slow + 0.001 * fast)


def test_dino_equals_its_equation_and_moves_centre_and_teacher():
    method = small(
        "dino", student_temperature=0.2, teacher_temperature=0.1, warmup=0.0, center_momentum=0.75
    ).eval()
    batch = batch_of(3)
    with torch.no_grad():
        method.criterion.center.normal_(generator=torch.Generator().manual_seed(0))
        student = [method.head(f).double().numpy() for f in method.encode_views(batch.views)]
        teacher = [method.teacher_head(method.teacher(v)).double().numpy() for v in batch.views]
    center = method.criterion.center.double().numpy().ravel()

    def softmax(x):
        e = np.exp(x - x.max())
        return e / e.sum()

    want = 0.0
    for t, s in ((0, 1), (1, 0)):
        for i in range(3):
            target = softmax((teacher[t][i] - center) / 0.1)
            want -= target @ np.log(softmax(student[s][i] / 0.2)) / 6
    assert method(batch).item() == pytest.approx(want, abs=1e-4)
    mean = np.mean(teacher, axis=(0, 1))
    np.testing.assert_allclose(method.criterion.center.ravel(), 0.75 * center + 0.25 * mean, atol=1e-5)
    # momentum at half of the training: 1 - (1 - 0.996) * (cos(pi / 2) + 1) / 2 = 0.998
    before = method.teacher_head[1].weight.clone()
    with torch.no_grad():
        method.head[1].weight.add_(1.0)
    method.finish_step(0.5)
    torch.testing.assert_close(method.teacher_head[1].weight, before + 0.002 * 1.0, atol=1e-5, rtol=0)


def test_dino_warms_its_teacher_up():
    method = small("dino", warmup_temperature=0.1, teacher_temperature=0.5, warmup=0.5).eval()
    seen = []
    method.criterion.forward = lambda t, s, teacher_temp: seen.append(teacher_temp) or s[0].sum()
    for progress in (0.0, 0.25, 0.75):
        method.progress.fill_(progress)
        method(batch_of(2))
    np.testing.assert_allclose(seen, [0.1, 0.3, 0.5], atol=1e-6)  # 0.1 + 0.25 / 0.5 * 0.4 = 0.3


def test_mae_scores_hidden_patches_only():
    method, batch = small("mae", mask_ratio=0.75).eval(), batch_of(3, views=1)
    order, hidden = method.masks(batch.keys)
    assert hidden.sum(dim=1).tolist() == [12.0] * 3  # 16 patches, a quarter kept
    with torch.no_grad():
        painted = method.reconstruct(batch.views[0], order).double().numpy()
    images = (batch.views[0].double().numpy() - 0.5) / 0.5
    want = []
    for b in range(3):
        errors = []
        for place in range(16):
            if place in order[b, :4].tolist():
                continue
            row, column = divmod(place, 4)
            target = images[b, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].ravel()
            target = (target - target.mean()) / math.sqrt(target.var(ddof=1) + 1e-6)
            errors.append(np.mean((painted[b, place] - target) ** 2))
        want.append(np.mean(errors))
    np.testing.assert_allclose(method.losses(batch).detach(), want, rtol=1e-4)


def test_mae_puts_tokens_back_into_their_places():
    method = small("mae").eval()
    images = views_of(2, views=1)[0]
    order, _ = method.masks(view_keys(0, np.arange(2), 0))
    kept = order[:, : method.kept]
    # the paint of a place that is kept depends on the content of that place: with a decoder that passes tokens
    # through, it is a function of the token alone
    method.decoder = nn.Identity()
    method.positions = nn.Identity()
    with torch.no_grad():
        method.blank.weight.zero_()
        painted = method.reconstruct(images, order)
        vit = method.encoder.body
        patches = vit.embed_patches(method.encoder.normalize(images))
        chosen = patches.gather(1, kept[:, :, None].expand(-1, -1, patches.shape[2]))
        direct = method.paint(method.embed(vit.encode_tokens(chosen)))[:, 1:]
        blank = method.paint(torch.zeros(1, method.embed.out_features))
    for b in range(2):
        for number, place in enumerate(kept[b].tolist()):
            torch.testing.assert_close(painted[b, place], direct[b, number])
        for place in set(range(16)) - set(kept[b].tolist()):
            torch.testing.assert_close(painted[b, place], blank[0])


def test_mae_encoder_gives_equal_features_in_every_call():
    method = small("mae").eval()
    images = views_of(3, views=1)[0]
    with torch.no_grad():
        first, second = method.encoder(images), method.encoder(images)
        assert torch.equal(first, second)
        dense = method.encoder.dense(images)
        vit = method.encoder.body
        tokens = vit.encode_tokens(vit.embed_patches(method.encoder.normalize(images)))
    torch.testing.assert_close(dense[:, :, 1, 2], tokens[:, 1 + 1 * 4 + 2])  # row by row
    masks = [method.masks(view_keys(0, rows, 0))[0] for rows in (np.arange(3), np.array([2]))]
    assert torch.equal(masks[0][2], masks[1][0])  # masks belong to images, not to batches


def test_supervised_is_cross_entropy():
    method = small("supervised").eval()
    batch = batch_of(4, views=1, labels=torch.tensor([0, 2, 1, 1]))
    with torch.no_grad():
        logits = method.classifier(method.encoder(batch.views[0])).double().numpy()
    want = [
        -math.log(np.exp(row)[y] / np.exp(row).sum()) for row, y in zip(logits, [0, 2, 1, 1], strict=True)
    ]
    np.testing.assert_allclose(method.losses(batch).detach(), want, atol=1e-5)
    assert method(batch).item() == pytest.approx(np.mean(want), abs=1e-5)


@pytest.mark.parametrize("name", ["simsiam", "mae", "supervised"])
def test_opacus_gradients_are_those_of_single_examples(name):
    from opacus import GradSampleModule

    method = small(name, private=True, norm="group")
    module = PerExample(method).train()
    n = 4
    labels = torch.tensor([0, 1, 2, 1]) if name == "supervised" else None
    views = views_of(n, views=method.n_views).transpose(0, 1)
    keys = torch.from_numpy(view_keys(0, np.arange(n), 0))
    want = []
    for i in range(n):
        module.zero_grad()
        rows = slice(i, i + 1)
        module(views[rows], None if labels is None else labels[rows], keys[rows]).sum().backward()
        want.append({k: p.grad.clone() for k, p in module.named_parameters() if p.grad is not None})
    module.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # opacus registers full backward hooks on inputs without gradients
        wrapped = GradSampleModule(module, loss_reduction="sum")
        wrapped(views, labels, keys).sum().backward()
    checked = 0
    for key, parameter in wrapped._module.named_parameters():
        if key not in want[0]:
            continue
        got = parameter.grad_sample
        assert got.shape == (n, *parameter.shape), key
        for i in range(n):
            torch.testing.assert_close(got[i], want[i][key], atol=2e-5, rtol=1e-3)
        checked += 1
    assert checked == len(want[0]) > 5


@pytest.mark.parametrize("name", ["simsiam", "mae", "supervised"])
def test_loss_of_an_example_does_not_depend_on_the_others(name):
    method = small(name, private=True, norm="group")
    labels = torch.tensor([0, 1, 2, 1, 0]) if name == "supervised" else None
    views = views_of(5, views=method.n_views).transpose(0, 1)
    keys = torch.from_numpy(view_keys(0, np.arange(5), 0))
    module = PerExample(method)
    rows = [3, 0]
    part = module(views[rows], None if labels is None else labels[rows], keys[rows])
    torch.testing.assert_close(part, module(views, labels, keys)[rows], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["simclr", "mocov2", "vicreg", "dino"])
def test_methods_that_compare_examples_refuse_to_be_private(name):
    with pytest.raises(BatchLossError, match="compares examples of a batch"):
        PerExample(small(name, norm="group"))
    with pytest.raises(BatchLossError, match="Per-example losses have: simsiam, mae, supervised"):
        small(name, private=True)


def test_batch_normalisation_is_refused_per_example():
    with pytest.raises(BatchLossError, match=r"layers of SimSiam mix examples.*norm='group'"):
        PerExample(small("simsiam"))
    with pytest.raises(BatchLossError, match="private=True"):
        PerExample(small("simsiam", norm="group"))  # the heads still have it


# The first loss of MoCo is low because the queue holds random directions; that of DINO because nothing is centred yet.
@pytest.mark.parametrize(
    ("name", "since"), [(name, {"mocov2": 3, "dino": 24}.get(name, 0)) for name in METHODS]
)
def test_every_method_lowers_its_loss_on_one_batch(name, since):
    method = small(name).train()
    labels = torch.tensor([0, 1, 2, 1, 0, 2]) if name == "supervised" else None
    batch = batch_of(6, views=method.n_views, labels=labels)
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=3e-3)
    values = []
    for step in range(60 if name == "dino" else 25):
        optimizer.zero_grad()
        loss = method(batch)
        loss.backward()
        optimizer.step()
        method.finish_step((step + 1) / 60)
        values.append(loss.item())
    assert all(math.isfinite(value) for value in values)
    assert min(values[-5:]) < values[since]


def test_heads_follow_the_seed_and_leave_the_global_state():
    state = torch.get_rng_state()
    one, two = small("simclr"), small("simclr")
    other = build_method("simclr", backbone("small_conv"), seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    weights = [next(m.projector.parameters()) for m in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert weights[0].shape != weights[2].shape or not torch.equal(weights[0], weights[2])


def test_teacher_moves_by_hand():
    teacher, student = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    with torch.no_grad():
        teacher.weight.fill_(1.0)
        student.weight.fill_(3.0)
        student.running_mean.fill_(5.0)
    move_teacher(teacher, student, 0.9)
    assert teacher.weight.item() == pytest.approx(1.2)  # 0.9 * 1 + 0.1 * 3
    assert teacher.running_mean.item() == 5.0


def test_build_method_refuses():
    encoder = backbone("small_conv")
    with pytest.raises(ValueError, match="method must be one of simclr"):
        build_method("byol", encoder, seed=0)
    with pytest.raises(ValueError, match=r"simclr has no options \['tau'\]. Options: temperature"):
        build_method("simclr", encoder, seed=0, options={"tau": 1})
    with pytest.raises(ValueError, match="supervised needs labels"):
        build_method("supervised", encoder, seed=0)
    with pytest.raises(ValueError, match="n_classes must be >= 2"):
        build_method("supervised", encoder, seed=0, n_classes=1)
    with pytest.raises(ValueError, match="mae needs the backbone small_vit"):
        build_method("mae", encoder, seed=0)
    with pytest.raises(ValueError, match="hides 16 of 16 patches"):
        small("mae", mask_ratio=0.99)
    with pytest.raises(ValueError, match="needs labels, got None"):
        small("supervised")(batch_of(2, views=1))
    assert Augmentation().flip == 0.5
