"""Probes against scikit-learn and plain loops; features streamed equal features at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trustlib.encoders import backbone, embed, knn_probe, linear_probe


def clouds(n, *, classes=3, dim=5, gap=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return rng.normal(size=(n, dim)) + gap * rng.normal(size=(classes, dim))[labels], labels


def test_linear_probe_equals_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    x, y = clouds(150)
    test, truth = clouds(60, seed=0)
    decay = 1e-2
    probe = linear_probe(x, y, test, truth, weight_decay=decay)
    mean, std = x.mean(axis=0), x.std(axis=0)
    # scikit-learn minimises C * sum of losses + |W|^2 / 2: C = 1 / (n * decay)
    other = LogisticRegression(C=1 / (150 * decay), tol=1e-10, max_iter=2000).fit((x - mean) / std, y)
    np.testing.assert_allclose(probe.weight * std, other.coef_ - other.coef_.mean(axis=0), atol=1e-4)
    want = other.predict_proba((test - mean) / std)
    scores = np.exp(probe.scores - probe.scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), want, atol=1e-4)
    np.testing.assert_allclose(test @ probe.weight.T + probe.bias, probe.scores, atol=1e-8)
    assert probe.accuracy == np.mean(probe.predicted == truth) == probe.correct.mean()


def test_linear_probe_does_not_care_about_scale_or_shift():
    x, y = clouds(60)
    one = linear_probe(x, y, x, y)
    two = linear_probe(x * [1, 10, 100, 1e3, 1e4] + 7, y, x * [1, 10, 100, 1e3, 1e4] + 7, y)
    np.testing.assert_allclose(one.scores, two.scores, atol=1e-3)
    constant = np.concatenate([x, np.full((60, 1), 3.0)], axis=1)
    np.testing.assert_allclose(linear_probe(constant, y, constant, y).scores, one.scores, atol=1e-3)


def test_linear_probe_on_noise_is_at_chance():
    rng = np.random.default_rng(0)
    x, test = rng.normal(size=(400, 4)), rng.normal(size=(2000, 4))
    y, truth = np.arange(400) % 2, np.arange(2000) % 2
    # standard error of 2000 answers at chance: 0.0112; four of them
    assert abs(linear_probe(x, y, test, truth).accuracy - 0.5) < 0.045


def test_knn_by_hand():
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    # the test point (2, 1) has cosines 2/sqrt5 = 0.894, 1/sqrt5 = 0.447, 3/sqrt10 = 0.949
    probe = knn_probe(x, [0, 1, 1], [[2.0, 1.0]], [1], k=3, temperature=1.0)
    votes = np.exp(np.array([2 / 5**0.5, 1 / 5**0.5, 3 / 10**0.5]) - 1)
    np.testing.assert_allclose(probe.scores, [[votes[0], votes[1] + votes[2]]], rtol=1e-9)
    assert knn_probe(x, [0, 1, 0], [[0.1, 1.0]], [1], k=1).accuracy == 1.0


@given(st.integers(1, 12), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_knn_equals_a_plain_loop(k, m, seed):
    x, y = clouds(12, seed=seed)
    test, truth = clouds(m, seed=seed + 1)
    probe = knn_probe(x, y, test, truth, k=k, temperature=0.5, batch_size=7)
    for i in range(m):
        cosine = x @ test[i] / np.linalg.norm(x, axis=1) / np.linalg.norm(test[i])
        votes = np.zeros(3)
        for j in np.argsort(-cosine)[:k]:
            votes[y[j]] += np.exp((cosine[j] - 1) / 0.5)
        np.testing.assert_allclose(probe.scores[i], votes, rtol=1e-8)


def test_small_temperatures_do_not_overflow():
    x, y = clouds(20)
    assert np.isfinite(knn_probe(x, y, x, y, k=5, temperature=1e-3).scores).all()
    assert knn_probe(x, y, x, y, k=1).accuracy == 1.0  # every point is its own neighbour


@pytest.mark.parametrize("probe", [linear_probe, knn_probe])
def test_probes_refuse(probe):
    x, y = clouds(30)
    with pytest.raises(ValueError, match=r"labels must be \(30,\)"):
        probe(x, y[:5], x, y)
    with pytest.raises(ValueError, match=r"test_labels must be \(30,\)"):
        probe(x, y, x, y[:5])
    with pytest.raises(ValueError, match="not all finite"):
        probe(x * np.nan, y, x, y)
    with pytest.raises(ValueError, match="must have 5 columns like features, got 4"):
        probe(x, y, x[:, :4], y)
    with pytest.raises(ValueError, match=r"K >= 2 and all of them present; missing: \[1\]"):
        probe(x, 2 * (y > 0), x, y)
    with pytest.raises(ValueError, match="all of them present"):
        probe(x, 0 * y, x, y)


def test_probe_numbers_are_checked():
    x, y = clouds(30)
    with pytest.raises(ValueError, match="weight_decay must be > 0"):
        linear_probe(x, y, x, y, weight_decay=0.0)
    with pytest.raises(ValueError, match="k must be between 1 and the 30 training points, got 31"):
        knn_probe(x, y, x, y, k=31)
    with pytest.raises(ValueError, match="temperature must be > 0"):
        knn_probe(x, y, x, y, temperature=0.0)
    with pytest.raises(ValueError, match="2 features have length 0"):
        knn_probe(x * (np.arange(30) > 1)[:, None], y, x, y)


def pixels_of(n=9):
    return np.random.default_rng(0).integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)


def test_embedding_by_batches_equals_one_pass_and_changes_nothing():
    encoder = backbone("small_conv")
    state = {k: v.clone() for k, v in encoder.state_dict().items()}
    x = torch.from_numpy(pixels_of()).float() / 255
    with torch.no_grad():
        want = encoder.eval()(x)
    encoder.train()
    for batch_size in (1, 4, 9, 100):
        got = embed(encoder, pixels_of(), batch_size=batch_size)
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert got.dtype == np.float32
    np.testing.assert_allclose(embed(encoder, x), want, atol=1e-5)
    assert encoder.training
    assert all(torch.equal(encoder.state_dict()[k], v) for k, v in state.items())


def test_embedding_streams_into_files(tmp_path):
    encoder = backbone("resnet9", options={"width": 4})
    memory = embed(encoder, pixels_of())
    mapped = embed(encoder, pixels_of(), out=tmp_path / "deep" / "features.npy", batch_size=4)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    np.testing.assert_allclose(mapped, memory, atol=1e-5)
    np.testing.assert_array_equal(np.load(tmp_path / "deep" / "features.npy"), mapped)
    np.save(tmp_path / "pixels.npy", pixels_of())
    streamed = embed(encoder, np.load(tmp_path / "pixels.npy", mmap_mode="r"), batch_size=2)
    np.testing.assert_allclose(streamed, memory, atol=1e-5)


def test_layers_are_embedded_together_and_reduced(tmp_path):
    encoder = backbone("resnet9", options={"width": 4})
    names = ["body.conv1", "body.res2"]
    full = embed(encoder, pixels_of(), layers=names)
    assert {name: array.shape for name, array in full.items()} == {
        "body.conv1": (9, 4, 8, 8), "body.res2": (9, 8, 4, 4),
    }  # fmt: skip
    means = embed(
        encoder, pixels_of(), layers=names, reduce=lambda _, r: r.mean(dim=(2, 3)), out=tmp_path, batch_size=4
    )
    for name in names:
        np.testing.assert_allclose(means[name], full[name].mean(axis=(2, 3)), atol=1e-5)
        assert (tmp_path / f"{name}.npy").is_file()


def test_interrupted_streaming_leaves_no_file(tmp_path):
    class Breaks(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls > 1:
                raise RuntimeError("planned")
            return x.flatten(1)

    with pytest.raises(RuntimeError, match="planned"):
        embed(Breaks(), pixels_of(), out=tmp_path / "f.npy", batch_size=2)
    assert list(tmp_path.iterdir()) == []


def test_embed_refuses():
    encoder = nn.Flatten()
    with pytest.raises(ValueError, match="at least one image"):
        embed(encoder, pixels_of(0))
    with pytest.raises(ValueError, match="batch_size must be >= 1"):
        embed(encoder, pixels_of(), batch_size=0)
    with pytest.raises(ValueError, match="reduce is applied to layers"):
        embed(encoder, pixels_of(), reduce=lambda _, r: r)

    class Total(nn.Module):
        def forward(self, x):
            return x.sum(dim=0)

    with pytest.raises(ValueError, match="one row per image"):
        embed(Total(), pixels_of())
