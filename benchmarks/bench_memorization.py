"""SSLMem with LayerMem, and UnitMem, against plain transcriptions of the published procedure.

    OMP_NUM_THREADS=2 python benchmarks/bench_memorization.py [--images 1000] [--plain-images 10]

SSLMem and LayerMem: the plain side calls each encoder once per image and view, encodes the clean image again for
every view, and runs one pass per layer, as the scripts published with the papers do (their gradients and training
mode left out: both sides run without gradients in evaluation mode). It is timed on a few images and extrapolated,
because its cost per image is constant; scores of these images must agree to 1e-5. The augmentation is the same
function with the same generators on both sides.

UnitMem: one pass over a million rows of 512 units that are generated on the way; peak memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch
from torch import nn

from trustlib.encoders import view_keys
from trustlib.memorization import UnitMemAccumulator, layermem, sslmem

VIEWS, LAYERS = 10, 8


def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift by up to 4 pixels, flip, brightness: cheap, so that the encoders dominate both sides."""
    dx, dy = torch.randint(-4, 5, (2,), generator=generator).tolist()
    flip, gain = torch.rand(2, generator=generator).tolist()
    moved = torch.roll(x, (dy, dx), (-2, -1))
    return (moved.flip(-1) if flip < 0.5 else moved) * (0.6 + 0.8 * gain)


def encoder(seed: int, width: int = 8) -> nn.Sequential:
    """Eight convolutions for 32-pixel images, in the layout that is fastest for both sides."""
    widths = [width, 2 * width, 2 * width, 2 * width, 4 * width, 8 * width, 8 * width, 8 * width]
    blocks, channels = [], 3
    for number, out in enumerate(widths):
        pool = nn.MaxPool2d(2) if number in (1, 4, 5) else nn.Identity()
        blocks.append(
            nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), pool)
        )
        channels = out
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    return net.eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def plain(nets: list[nn.Sequential], images: torch.Tensor) -> np.ndarray:
    """Alignment of every image at the end of each net: one encoder call per image, view and encoder."""
    loss = np.zeros((len(nets), len(images)))
    for i, image in enumerate(images):
        for k in range(VIEWS):
            view = augment(image, torch.Generator().manual_seed(int(view_keys(0, i, k))))
            for e, net in enumerate(nets):
                clean = net(image[None]).flatten()
                loss[e, i] += torch.dist(clean, net(view[None]).flatten()).item() / VIEWS
    return loss


def score_encoders(n: int, n_plain: int) -> None:
    """Times both sides and compares their numbers."""
    images = torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    f, g = encoder(0), encoder(1)
    names = [f"{depth}.0" for depth in range(LAYERS)]
    settings = {"n_views": VIEWS, "pairing": "anchor"}
    layermem(f, g, images[:64], augment, layers=names, **settings)  # warm up
    start = time.perf_counter()
    points = sslmem(f, g, images, augment, normalization="ratio", **settings)
    middle = time.perf_counter()
    table = layermem(f, g, images, augment, layers=names, **settings)
    fast = time.perf_counter() - start
    print(f"ours: SSLMem {middle - start:.1f} s + LayerMem of {LAYERS} layers {start + fast - middle:.1f} s")

    taken, gaps = 0.0, []
    for depth in [None, *range(LAYERS)]:
        nets = [net if depth is None else _until_convolution(net, depth) for net in (f, g)]
        start = time.perf_counter()
        loss = plain(nets, images[:n_plain])
        taken += time.perf_counter() - start
        ratio = (loss[1] - loss[0]) / (loss[1] + loss[0])
        ours = points.scores if depth is None else table.scores[0, depth]
        gaps.append(np.abs(ratio - ours[:n_plain]).max())
    slow = taken * n / n_plain
    print(
        f"plain: {taken:.1f} s for {n_plain} images, {slow:.0f} s for {n}; largest difference {max(gaps):.1e}"
    )
    if max(gaps) > 1e-5:
        raise SystemExit("the two procedures disagree")
    print(
        f"SSLMem + LayerMem, {n} images x {VIEWS} views x {LAYERS} layers: {slow / fast:.1f}x faster (target 20x)"
    )


def _until_convolution(net: nn.Sequential, depth: int) -> nn.Sequential:
    """The encoder cut after the convolution of one block, as a truncated model per layer."""
    return nn.Sequential(*net[:depth], net[depth][0])


def stream_units(rows: int, units: int, batch: int = 8192) -> None:
    """UnitMem of many rows without holding them."""
    rng = np.random.default_rng(0)
    chunk = rng.exponential(size=(batch, units)).astype(np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    for rest in ("mean", "median"):
        accumulator = UnitMemAccumulator(rest=rest)
        start = time.perf_counter()
        for first in range(0, rows, batch):
            size = min(batch, rows - first)
            accumulator.update(chunk[:size] * np.float32(1 + first / rows), np.arange(first, first + size))
        scores = accumulator.compute().scores
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        whole = rows * units * 4 / 2**30
        print(
            f"UnitMem ({rest}) of {rows} x {units}: {time.perf_counter() - start:.1f} s, peak {peak:.2f} GiB of the "
            f"process ({before:.2f} before; the rows alone would take {whole:.2f}), mean score {scores.mean():.3f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--plain-images", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    stream_units(arguments.rows, 512)
    score_encoders(arguments.images, arguments.plain_images)
