"""Batched augmentation against kornia (batched) and torchvision v2 (image by image): images per second, one process.

    python benchmarks/bench_augment.py [--images 1024] [--size 32] [--threads 2]

SimCLR's operations (crop and resize, flip, jitter, grey, blur). The three are measured in turn, round after round, so
that a busy machine slows all of them; the median over rounds is printed, then the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings

import torch

from trustlib.encoders import augmentation, view_keys


def kornia_pipeline(size):
    """kornia's operations with the same distributions."""
    import kornia.augmentation as K

    return K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=(0.08, 1.0)),
        K.RandomHorizontalFlip(p=0.5),
        K.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((3, 3), (0.1, 2.0), p=0.5),
    )


def torchvision_pipeline(size):
    """torchvision v2's operations with the same distributions."""
    from torchvision.transforms import v2

    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(3, (0.1, 2.0))], 0.5),
        ]
    )


def rate(function, images):
    """Images per second of one call."""
    start = time.perf_counter()
    function()
    return len(images) / (time.perf_counter() - start)


def main():
    """Prints the rates and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(arguments.images, 3, arguments.size, arguments.size, generator=generator)
    ours, keys = augmentation("simclr"), view_keys(0, range(arguments.images), 0)
    kornia, torchvision = kornia_pipeline(arguments.size), torchvision_pipeline(arguments.size)
    contestants = {
        "trustlib": lambda: ours.keyed(images, keys),
        "kornia": lambda: kornia(images),
        "torchvision v2": lambda: torch.stack([torchvision(image) for image in images]),
    }
    rates = {name: [] for name in contestants}
    for number in range(arguments.rounds + 1):
        for name, function in contestants.items():
            measured = rate(function, images)
            if number:  # the first round warms up
                rates[name].append(measured)
    for name, values in rates.items():
        print(
            f"{name:15s} {statistics.median(values):10.0f} images/s (range {min(values):.0f} to {max(values):.0f})"
        )
    for name, target in (("kornia", 3), ("torchvision v2", 10)):
        ratios = [a / b for a, b in zip(rates["trustlib"], rates[name], strict=True)]
        print(f"trustlib / {name}: {statistics.median(ratios):.1f} x (target {target})")


if __name__ == "__main__":
    main()
