"""Public image sets that are downloaded as Parquet files; their hashes are recorded at first use."""

from __future__ import annotations

from trustlib.data.registry import register
from trustlib.data.specs import DatasetSpec, FileSpec

_HUB = "https://huggingface.co/datasets"


def _shards(name: str, repository: str, stem: str, *, split: str, of: int) -> tuple[FileSpec, ...]:
    """The files of one split in order; more than one are called parts ``split.0``, ``split.1`` and so on."""
    part = split.split("=")[0]
    there = split.split("=")[-1]
    return tuple(
        FileSpec(
            f"{name}/{part}.parquet" if of == 1 else f"{name}/{part}-{number}.parquet",
            None,
            urls=(f"{_HUB}/{repository}/resolve/main/{stem}/{there}-{number:05d}-of-{of:05d}.parquet",),
            part=part if of == 1 else f"{part}.{number}",
        )
        for number in range(of)
    )


register(
    DatasetSpec(
        name="cifar100",
        kind="images",
        title="CIFAR-100",
        size="60 000 colour images of 32 x 32 pixels in 100 classes",
        origin="A. Krizhevsky, 2009; downloaded from the copy of the University of Toronto.",
        licence="None stated by the authors; research use.",
        citation="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, Technical Report, 2009.",
        problems=(
            "About 10 % of the test images have near-duplicates in the training set (Barz and Denzler 2020), which "
            "matters wherever memorization is measured.",
            "Five classes are people (baby, boy, girl, man, woman), collected from the web without consent.",
        ),
        splits={"train": 50_000, "test": 10_000},
        files=(
            *_shards("cifar100", "uoft-cs/cifar100", "cifar100", split="train", of=1),
            *_shards("cifar100", "uoft-cs/cifar100", "cifar100", split="test", of=1),
        ),
    )
)

register(
    DatasetSpec(
        name="fashion_mnist",
        kind="images",
        title="Fashion-MNIST",
        size="70 000 grey images of 28 x 28 pixels, 10 kinds of clothing",
        origin="Zalando Research; downloaded from its own copy.",
        licence="MIT.",
        citation="H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
        "Learning Algorithms, arXiv 1708.07747, 2017.",
        problems=(
            "Product photographs on a plain background: says little about natural images.",
            "Shirt, T-shirt, pullover and coat overlap; some labels are wrong.",
        ),
        splits={"train": 60_000, "test": 10_000},
        files=(
            *_shards("fashion_mnist", "zalando-datasets/fashion_mnist", "fashion_mnist", split="train", of=1),
            *_shards("fashion_mnist", "zalando-datasets/fashion_mnist", "fashion_mnist", split="test", of=1),
        ),
    )
)

register(
    DatasetSpec(
        name="svhn",
        kind="images",
        title="Street View House Numbers (cropped digits)",
        size="99 289 colour images of 32 x 32 pixels, 10 digits",
        origin="Y. Netzer and others, Stanford University; downloaded from its own copy.",
        licence="Non-commercial use only.",
        citation="Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Y. Ng, Reading Digits in Natural Images with "
        "Unsupervised Feature Learning, NIPS Workshop on Deep Learning and Unsupervised Feature Learning, 2011.",
        problems=(
            "Neighbouring digits are visible in many crops; classes are unbalanced (1 is three times as common as 9).",
            "Photographs of private house fronts.",
        ),
        splits={"train": 73_257, "test": 26_032},
        files=(
            *_shards("svhn", "ufldl-stanford/svhn", "cropped_digits", split="train", of=1),
            *_shards("svhn", "ufldl-stanford/svhn", "cropped_digits", split="test", of=1),
        ),
    )
)

register(
    DatasetSpec(
        name="stl10",
        kind="images",
        title="STL-10 (labelled part)",
        size="13 000 colour images of 96 x 96 pixels in 10 classes",
        origin="A. Coates, H. Lee, A. Y. Ng, Stanford University; downloaded from a copy by a third party.",
        licence="None stated; the images come from ImageNet, research use.",
        citation="A. Coates, H. Lee, A. Y. Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, "
        "AISTATS, 2011.",
        problems=(
            "The 100 000 unlabelled images are not part of this copy.",
            "Nine of ten classes are those of CIFAR-10 in another order (monkey stands for frog).",
        ),
        splits={"train": 5_000, "test": 8_000},
        files=(
            *_shards("stl10", "tanganke/stl10", "data", split="train", of=1),
            *_shards("stl10", "tanganke/stl10", "data", split="test", of=1),
        ),
    )
)

register(
    DatasetSpec(
        name="food101",
        kind="images",
        title="Food-101",
        size="101 000 colour photographs of up to 512 x 512 pixels, 101 dishes (about 5 GB)",
        origin="L. Bossard, M. Guillaumin, L. Van Gool, ETH Zurich; downloaded from its own copy.",
        licence="None stated; the photographs come from a recipe site, research use.",
        citation="L. Bossard, M. Guillaumin, L. Van Gool, Food-101: Mining Discriminative Components with Random "
        "Forests, ECCV, 2014.",
        problems=(
            "Training labels were left uncleaned on purpose; about 5 % are wrong.",
            "Rows are sorted by dish: draw with a seed, or the first n are of few classes.",
            "Dishes and names reflect one site's mostly western users.",
        ),
        splits={"train": 75_750, "test": 25_250},
        files=(
            *_shards("food101", "ethz/food101", "data", split="train", of=8),
            *_shards("food101", "ethz/food101", "data", split="test=validation", of=3),
        ),
    )
)
