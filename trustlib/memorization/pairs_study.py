"""One study of memorization: images, splits and a recipe, and the pairs that differ from it in one thing each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from trustlib.memorization.intervention_evidence import ProbeData
from trustlib.memorization.pairs import (
    EncoderPair,
    Job,
    PairPlan,
    Pool,
    Progress,
    job_on,
    train_jobs,
    train_pairs,
)
from trustlib.memorization.splits import LeaveOutSplit, leave_out_split

if TYPE_CHECKING:
    import pandas as pd

    from trustlib.data import Images
    from trustlib.encoders import Augmentation, Recipe, TrainedEncoder

ViewSet = Literal["small", "paper"]
STRENGTHS = ("weak", "normal", "strong")
FAMILIES = {
    "contrastive": ("simclr", "mocov2"),
    "siamese or variance-based": ("simsiam", "vicreg", "dino"),
    "reconstruction": ("mae",),
}
CHECKPOINTS = (1 / 12, 1 / 6, 1 / 3, 1 / 2, 3 / 4, 1)  # shares of the training at which copies are kept


@dataclass(frozen=True)
class Study:
    """What all pairs of a chapter have in common.

    Args:
        pool: images that may be trained on, and external ones.
        splits: one per pair of a kind.
        recipe: of the main encoders; pair i is trained from its seed + i.
        probe: labelled images that no encoder is trained or scored on.
        workers: see `train_jobs`.
        device: see `train_jobs`.
        progress: see `train_jobs`.
    """

    pool: Pool
    splits: tuple[LeaveOutSplit, ...]
    recipe: Recipe
    probe: ProbeData
    workers: int = 1
    device: str | None = None
    progress: Progress | None = None

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Steps at which copies are kept, ascending."""
        return tuple(sorted({max(1, round(share * self.recipe.steps)) for share in CHECKPOINTS}))

    def plans(
        self,
        recipe: Recipe | None = None,
        *,
        same_data: bool = False,
        snapshots: bool = False,
        **changes: Any,
    ) -> list[PairPlan]:
        """One plan per split: the recipe with some fields changed.

        Args:
            recipe: None for that of the study.
            same_data: see `PairPlan`.
            snapshots: keep copies at the checkpoints.
            changes: fields of the recipe.
        """
        base = dataclasses.replace(self.recipe if recipe is None else recipe, **changes)
        kept = self.checkpoints if snapshots else ()
        return [
            PairPlan(dataclasses.replace(base, seed=base.seed + number), split, same_data, kept)
            for number, split in enumerate(self.splits)
        ]

    def reseeded(self, runs: int) -> list[PairPlan]:
        """Plans that share the first split and differ in the seed of training; the first is the study's own."""
        return [
            PairPlan(dataclasses.replace(self.recipe, seed=self.recipe.seed + 100 * run), self.splits[0])
            for run in range(runs)
        ]

    def train(self, plans: Mapping[str, Sequence[PairPlan]]) -> dict[str, list[EncoderPair]]:
        """Trains the pairs of all plans together, by name."""
        flat = [plan for some in plans.values() for plan in some]
        pairs = iter(
            train_pairs(flat, self.pool, workers=self.workers, device=self.device, progress=self.progress)
        )
        return {name: [next(pairs) for _ in some] for name, some in plans.items()}

    def train_jobs(self, jobs: Sequence[Job]) -> list[TrainedEncoder]:
        """Trains single encoders."""
        return train_jobs(jobs, workers=self.workers, device=self.device, progress=self.progress)

    def sizes(self) -> pd.DataFrame:
        """Points of every kind, one row per pair."""
        import pandas as pd

        rows = [{name: len(points) for name, points in split.subsets.items()} for split in self.splits]
        return pd.DataFrame(rows).assign(E=len(self.pool.external)).rename_axis("pair")

    def supervised(self) -> list[Job]:
        """Trainings with labels on the points of every f."""
        plans = self.plans(method="supervised", method_options={})
        return [job_on(plan.recipe, self.pool, plan.split.train_f) for plan in plans]


def study_of(
    train: Images,
    test: Images,
    recipe: Recipe,
    *,
    n_shared: int,
    n_candidate: int,
    n_probe: int,
    runs: int,
    seed: int,
    workers: int = 1,
    device: str | None = None,
    progress: Progress | None = None,
) -> Study:
    """Cuts two sets of images into pool, external points and probe, and draws the splits.

    The pool is the first n_shared + 2 n_candidate training images, the probe is trained on the next n_probe; external
    points are the first 2 n_candidate test images (twice as many as candidates, so that their halves can stand for
    candidates in controls), and the probe is tested on the rest.

    Args:
        train: labelled images.
        test: labelled images of the same kind.
        recipe: of the main encoders.
        n_shared: points that f and g see.
        n_candidate: points that f alone sees; as many that g alone sees.
        n_probe: labelled images to train probes on.
        runs: encoder pairs, each with a split of its own.
        seed: of the splits.
        workers: see `Study`.
        device: see `Study`.
        progress: see `Study`.

    Raises:
        ValueError: too few images, or images without labels.
    """
    n, m = n_shared + 2 * n_candidate, 2 * n_candidate
    if train.labels is None or test.labels is None:
        raise ValueError("a study measures linear probes and needs labels; the images have none")
    if len(train) < n + n_probe or len(test) <= m:
        raise ValueError(
            f"need {n} + {n_probe} training and more than {m} test images, got {len(train)} and {len(test)}"
        )
    splits = tuple(
        leave_out_split(
            n, shared=n_shared, candidate=n_candidate, independent=n_candidate, seed=seed + number
        )
        for number in range(runs)
    )
    probe = ProbeData(
        train.pixels[n : n + n_probe], train.labels[n : n + n_probe], test.pixels[m:], test.labels[m:]
    )
    pool = Pool(train.pixels[:n], test.pixels[:m], train.labels[:n])
    return Study(pool, splits, recipe, probe, workers, device, progress)


def small_recipe(
    method: str,
    backbone: str,
    *,
    epochs: int,
    n_train: int,
    batch_size: int,
    augment: Augmentation,
    width: int = 8,
    vit_dim: int = 48,
    vit_depth: int = 4,
    seed: int = 0,
) -> Recipe:
    """A recipe for small images and few points: Adam at 2e-3 with a cosine, heads as wide as the features.

    Args:
        method: see `Recipe`; "mae" takes a small transformer whatever the backbone.
        backbone: see `Recipe`.
        epochs: passes over the training points.
        n_train: training points of one encoder.
        batch_size: at most ``n_train``.
        augment: of the training.
        width: of "resnet9".
        vit_dim: of "small_vit", and of "mae".
        vit_depth: of "small_vit", and of "mae".
        seed: of the first pair.

    Example:
        >>> from trustlib.encoders import augmentation
        >>> size = {"epochs": 10, "n_train": 300, "batch_size": 100, "augment": augmentation("weak")}
        >>> small_recipe("simclr", "resnet9", **size).steps
        30
    """
    from trustlib.encoders import Recipe

    name = "small_vit" if method == "mae" else backbone
    transformer = {
        "dim": vit_dim,
        "depth": vit_depth,
        "heads": max(1, vit_dim // 16),
        "patch": 4,
        "pool": "mean",
    }
    options: dict[str, dict[str, Any]] = {"resnet9": {"width": width}, "small_vit": transformer}
    heads: dict[str, dict[str, Any]] = {
        "simclr": {"output_dim": 64}, "mae": {"decoder_depth": 1, "decoder_dim": vit_dim},
    }  # fmt: skip
    return Recipe(
        method=method,  # type: ignore[arg-type]
        backbone=name,
        steps=epochs * (n_train // batch_size),
        batch_size=batch_size,
        augment=augment,
        optimizer="adamw",
        learning_rate=2e-3,
        weight_decay=1e-4,
        stem="small" if ":" in name and "resnet" in name else "standard",
        backbone_options=options.get(name, {}),
        method_options=heads.get(method, {}),
        seed=seed,
    )


def private_recipe(recipe: Recipe) -> Recipe:
    """The same recipe with nothing that mixes the images of a batch, as DP-SGD needs it.

    Args:
        recipe: of a method with a loss per image, such as "mae" or "simsiam".
    """
    return dataclasses.replace(recipe, norm="group", private=True)


def strengths(kind: ViewSet) -> dict[str, Augmentation]:
    """Distributions of views by strength, from weak to strong.

    "paper" is the study's own; "small" is milder, for short trainings on small images, in which the study's views leave
    next to nothing to memorize.

    Raises:
        ValueError: another kind.

    Example:
        >>> [s.crop_area for s in strengths("small").values()]
        [(0.6, 1.0), (0.3, 1.0), (0.08, 1.0)]

    Source: Wang et al., NeurIPS 2024, appendix ("paper"); "small" is ours.
    """
    from trustlib.encoders import Augmentation, augmentation

    if kind not in get_args(ViewSet):
        raise ValueError(f"kind must be one of {', '.join(get_args(ViewSet))}, got {kind!r}")
    if kind == "paper":
        return {
            "weak": augmentation("weak"),
            "normal": augmentation("normal"),
            "strong": augmentation("strong"),
        }

    def jittered(area: float, colour: float) -> Augmentation:
        hue = colour / 4
        return Augmentation(
            crop_area=(area, 1.0), brightness=colour, contrast=colour, saturation=colour, hue=hue
        )

    return {"weak": jittered(0.6, 0.2), "normal": jittered(0.3, 0.4), "strong": jittered(0.08, 0.8)}


def one_per_family(methods: Sequence[str]) -> list[str]:
    """The first method of each family among those named.

    Raises:
        ValueError: a family without a method.

    Example:
        >>> one_per_family(["simclr", "vicreg", "mae", "simsiam"])
        ['simclr', 'vicreg', 'mae']
    """
    chosen = []
    for family, members in FAMILIES.items():
        found = [name for name in methods if name in members]
        if not found:
            raise ValueError(f"no {family} method among {list(methods)}; add one of {', '.join(members)}")
        chosen.append(found[0])
    return chosen


def unit_layers(encoder: Any, convolutions: Sequence[str]) -> tuple[list[str], bool]:
    """Where the units behind some convolutions are read, and whether their activations must be rectified.

    Small networks have a ReLU of their own behind every convolution; elsewhere the convolution itself is read and
    max(activation, 0) is scored.

    Example:
        >>> from trustlib.encoders import backbone
        >>> unit_layers(backbone("resnet9"), ["body.conv1.conv"])
        (['body.conv1.act'], False)
    """
    names = dict(encoder.named_modules())
    behind = [name.removesuffix(".conv") + ".act" for name in convolutions]
    if all(name in names for name in behind):
        return behind, False
    return list(convolutions), True
