"""SimCLR at 32 x 32 with a small convolutional net: this library's loop against lightly's transform and DataLoader.

    python benchmarks/bench_encoders.py [--images 4096] [--batch 128] [--threads 2] [--rounds 5] [--backbone small_conv]

All train the same network with the same loss, heads and optimiser. Ours differs in the way from images to views and in
the layout of the feature maps (channels last), and in precision in the lines that say so. lightly's side is what its
users write: SimCLRTransform with its defaults, blur included, on PIL images, a DataLoader with workers, float32; epochs
are long enough that the start of the workers does not count. "Network alone" gets its views for nothing: no
augmentation, however fast, gives more. An image counts once although it gives two views. Contestants alternate, so that
a busy machine slows all of them; medians are printed. Wall time suffers from other programs, processor time (all
processes of a contestant, workers included) hardly does: on a shared machine read the latter, with --threads 1.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
import warnings
from dataclasses import replace

import numpy as np
import torch

from trustlib.data import load_images
from trustlib.encoders import Batch, Recipe, train
from trustlib.encoders.optimization import make_optimizer
from trustlib.encoders.training import make_method


def make(recipe):
    """The method in training mode, and its optimiser."""
    method = make_method(recipe, size=32, channels=3, n_classes=None).train()
    if recipe.channels_last:
        method = method.to(memory_format=torch.channels_last)
    return method, make_optimizer(recipe, method)


def step(recipe, method, optimizer, views):
    """One optimiser step on two views."""
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bfloat16"):
        loss = method(Batch(views, None, np.empty(0)))
    loss.backward()
    optimizer.step()


def ours(recipe, pixels):
    """This library's loop, views included; returns how many images were seen."""
    train(recipe, pixels)
    return recipe.steps * recipe.batch_size


def network_only(recipe, pixels):
    """Forward, backward and optimiser on views that are there already."""
    method, optimizer = make(recipe)
    views = torch.from_numpy(pixels[: recipe.batch_size]).float().div(255).repeat(2, 1, 1, 1)
    if recipe.channels_last:
        views = views.contiguous(memory_format=torch.channels_last)
    for _ in range(recipe.steps):
        step(recipe, method, optimizer, views.unflatten(0, (2, -1)))
    return recipe.steps * recipe.batch_size


def lightlys(recipe, pixels, workers):
    """lightly's SimCLR transform in a DataLoader, the same network."""
    from lightly.transforms import SimCLRTransform
    from PIL import Image

    transform = SimCLRTransform(input_size=32)

    class Pictures(torch.utils.data.Dataset):
        def __len__(self):
            return len(pixels)

        def __getitem__(self, i):
            return transform(Image.fromarray(pixels[i].transpose(1, 2, 0)))

    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=recipe.batch_size, shuffle=True, drop_last=True, num_workers=workers
    )
    method, optimizer = make(recipe)
    for views in loader:
        step(recipe, method, optimizer, torch.stack(views))
    return len(loader) * recipe.batch_size


def processor_seconds():
    """Of this process and of the workers that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(function):
    """Images per second of wall time, and per second of processor time."""
    wall, processor = time.perf_counter(), processor_seconds()
    images = function()
    return images / (time.perf_counter() - wall), images / (processor_seconds() - processor)


def main():
    """Prints rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--backbone", default="small_conv")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    pixels = load_images("scenes", n=arguments.images).pixels
    recipe = Recipe(
        method="simclr", backbone=arguments.backbone, steps=arguments.images // arguments.batch,
        batch_size=arguments.batch,
    )  # fmt: skip
    fastest, plain = replace(recipe, precision="bfloat16"), replace(recipe, channels_last=False)
    contestants = {
        "trustlib": lambda: ours(recipe, pixels),
        "trustlib, bfloat16": lambda: ours(fastest, pixels),
        "network alone": lambda: network_only(recipe, pixels),
        "network alone, bfloat16": lambda: network_only(fastest, pixels),
        "lightly + DataLoader": lambda: lightlys(plain, pixels, arguments.workers),
    }
    rates = {name: [] for name in contestants}
    for number in range(arguments.rounds + 1):
        for name, function in contestants.items():
            measured = measure(function)
            if number:  # the first round warms up
                rates[name].append(measured)
    for name, values in rates.items():
        wall, processor = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{name:26s} {wall:7.0f} images/s of wall time, {processor:7.0f} images/s of processor time")
    for name in list(contestants)[:4]:
        ratios = [
            (a[0] / b[0], a[1] / b[1])
            for a, b in zip(rates[name], rates["lightly + DataLoader"], strict=True)
        ]
        wall, processor = (statistics.median(column) for column in zip(*ratios, strict=True))
        print(f"{name} / lightly: {wall:.1f} x of wall time, {processor:.1f} x of processor time (target 5)")


if __name__ == "__main__":
    main()
