"""SimCLR at 32 x 32 with the small convolutional net: this library's loop against lightly's transform and DataLoader.

    python benchmarks/bench_encoders.py [--images 2048] [--batch 256] [--threads 2] [--rounds 5]

Both train the same network with the same loss, heads and optimiser; only the way from images to views differs. An
image counts once although it gives two views. Rounds alternate, so that a busy machine slows both; medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import numpy as np
import torch

from trustlib.data import load_images
from trustlib.encoders import Batch, Recipe
from trustlib.encoders.optimization import make_optimizer
from trustlib.encoders.training import TrainingData, _Run, make_method


def method_of(recipe):
    """The method in training mode, and its optimiser."""
    method = make_method(recipe, size=32, channels=3, n_classes=None).train()
    return method, make_optimizer(recipe, method)


def step(method, optimizer, views):
    """One optimiser step on two views."""
    optimizer.zero_grad(set_to_none=True)
    method(Batch(torch.stack(list(views)), None, np.empty(0))).backward()
    optimizer.step()


def ours(recipe, pixels):
    """Seconds of one pass over the data by this library's loop, views included."""
    data = TrainingData.of(recipe, pixels, None, None)
    method = make_method(recipe, size=32, channels=3, n_classes=None)
    run = _Run(recipe, data, method, (), torch.device("cpu"))
    run.advance()
    start = time.perf_counter()
    for _ in range(recipe.steps - 1):
        run.advance()
    return (time.perf_counter() - start) / (recipe.steps - 1)


def network_only(recipe, pixels):
    """Seconds of one step without views: forward, backward, optimiser."""
    method, optimizer = method_of(recipe)
    views = [torch.from_numpy(pixels[: recipe.batch_size]).float() / 255 for _ in range(2)]
    step(method, optimizer, views)
    start = time.perf_counter()
    for _ in range(4):
        step(method, optimizer, views)
    return (time.perf_counter() - start) / 4


def lightlys(recipe, pixels, workers):
    """Seconds per step with lightly's SimCLR transform and a DataLoader."""
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    transform = SimCLRTransform(input_size=32, gaussian_blur=0.5)

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(pixels)

        def __getitem__(self, i):
            return transform(Image.fromarray(pixels[i].transpose(1, 2, 0)))

    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=recipe.batch_size, shuffle=True, drop_last=True, num_workers=workers,
        persistent_workers=workers > 0,
    )  # fmt: skip
    method, optimizer = method_of(recipe)
    for views in loader:  # starts the workers
        step(method, optimizer, views)
        break
    count, start = 0, time.perf_counter()
    for views in loader:
        step(method, optimizer, views)
        count += 1
    return (time.perf_counter() - start) / count


def main():
    """Prints rates and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    pixels = load_images("scenes", n=arguments.images).pixels
    recipes = {
        precision: Recipe(
            method="simclr", backbone="small_conv", steps=8, batch_size=arguments.batch, precision=precision
        )
        for precision in ("float32", "bfloat16")
    }
    recipe = recipes["float32"]
    contestants = {
        "trustlib, views and network": lambda: ours(recipe, pixels),
        "trustlib, bfloat16": lambda: ours(recipes["bfloat16"], pixels),
        "network only": lambda: network_only(recipe, pixels),
        "lightly's transform, DataLoader": lambda: lightlys(recipe, pixels, arguments.workers),
    }
    rates = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, function in contestants.items():
            rates[name].append(arguments.batch / function())
    for name, values in rates.items():
        print(
            f"{name:34s} {statistics.median(values):8.0f} images/s (range {min(values):.0f} to {max(values):.0f})"
        )
    one, other = "trustlib, views and network", "lightly's transform, DataLoader"
    ratios = [a / b for a, b in zip(rates[one], rates[other], strict=True)]
    print(f"ratio: {statistics.median(ratios):.1f} x (target 5)")


if __name__ == "__main__":
    main()
