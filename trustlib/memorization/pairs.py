"""Pairs of encoders that differ in the points they were trained on: planned, trained in parallel, kept on disk."""

from __future__ import annotations

import dataclasses
import functools
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.splits import LeaveOutSplit

if TYPE_CHECKING:
    from torch import nn

    from trustlib.encoders import Recipe, TrainedEncoder

Pixels = NDArray[np.uint8]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]
ANOTHER_SEED = 1000  # between the seeds of the two trainings on the same points


@dataclass(frozen=True)
class Pool:
    """Images that may be trained on, and external images that no encoder sees.

    Args:
        pixels: uint8 (n, C, S, S); position = identity, which decides an image's views.
        external: uint8 (m, C, S, S), of the same distribution; their identities follow those of the pool.
        labels: int64 (n,), or None.

    Raises:
        ValueError: images of unequal shape, or another number of labels.
    """

    pixels: Pixels
    external: Pixels
    labels: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or self.pixels.shape[1:] != self.external.shape[1:]:
            raise ValueError(
                f"pixels and external must be images (n, C, S, S) of one shape, got {self.pixels.shape} and "
                f"{self.external.shape}"
            )
        if self.labels is not None and len(self.labels) != len(self.pixels):
            raise ValueError(
                f"labels must name each of the {len(self.pixels)} images, got {len(self.labels)}"
            )

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def everything(self) -> Pixels:
        """Pool, then external images."""
        return np.concatenate([self.pixels, self.external])

    @property
    def external_index(self) -> NDArray[np.int64]:
        """Identities of the external images."""
        return len(self) + np.arange(len(self.external))


@dataclass(frozen=True)
class Job:
    """One training: a recipe on some images of a pool."""

    recipe: Recipe
    pixels: Pixels
    index: NDArray[np.int64]
    labels: NDArray[np.int64] | None = None
    snapshots: tuple[int, ...] = ()


def job_on(recipe: Recipe, pool: Pool, points: NDArray[np.int64], *, snapshots: Sequence[int] = ()) -> Job:
    """The training of a recipe on some points of a pool; labels come along where the method needs them."""
    labels = pool.labels[points] if recipe.method == "supervised" and pool.labels is not None else None
    return Job(recipe, pool.pixels[points], np.asarray(points), labels, tuple(snapshots))


@dataclass(frozen=True)
class PairPlan:
    """How a pair is trained: f on shared and candidate points, g on shared and independent ones, all else equal.

    Args:
        recipe: of both encoders: same initial weights, same views of the shared points.
        split: who sees what.
        same_data: a control: g is trained on the points of f, from another seed, so that nothing separates
            candidates from external points.
        snapshots: steps at which copies of both are kept.
    """

    recipe: Recipe
    split: LeaveOutSplit
    same_data: bool = False
    snapshots: tuple[int, ...] = ()


@dataclass(frozen=True)
class EncoderPair:
    """A trained pair.

    Args:
        f: saw the candidates.
        g: did not.
        split: who saw what.
        snapshots: the pair at earlier steps of its training.
    """

    f: nn.Module
    g: nn.Module
    split: LeaveOutSplit
    snapshots: Mapping[int, tuple[nn.Module, nn.Module]] = dataclasses.field(default_factory=dict)

    def at(self, step: int) -> EncoderPair:
        """The pair as it was after some steps.

        Raises:
            ValueError: no copy was kept at that step.
        """
        if step not in self.snapshots:
            raise ValueError(f"no snapshot at step {step}; there are {sorted(self.snapshots)}")
        return EncoderPair(*self.snapshots[step], self.split)


def train_pairs(
    plans: Sequence[PairPlan],
    pool: Pool,
    *,
    workers: int = 1,
    device: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[EncoderPair]:
    """Trains the encoders of all plans, or loads those that were trained before.

    Args:
        plans: of the pairs. Encoders that two plans share are trained once.
        pool: the images.
        workers: processes that train at the same time, one thread each; 1 trains here.
        device: where to train; None: the CPU.
        folder: where trained encoders are kept; None: the user's cache.
        progress: wraps the iteration, called with (encoders, total); None shows nothing.

    Returns:
        One pair per plan, in evaluation mode.

    Raises:
        ValueError: no worker, or a recipe that cannot be trained on these images.

    Example:
        >>> import tempfile
        >>> from trustlib.encoders import Recipe
        >>> from trustlib.memorization.splits import leave_out_split
        >>> pixels = np.random.default_rng(0).integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)
        >>> recipe = Recipe(method="simsiam", backbone="small_conv", steps=2, batch_size=4)
        >>> plan = PairPlan(recipe, leave_out_split(16, shared=8, candidate=4, independent=4))
        >>> with tempfile.TemporaryDirectory() as place:
        ...     [pair] = train_pairs([plan], Pool(pixels[:16], pixels[16:]), folder=Path(place))
        >>> len(pair.split.candidate)
        4
    """
    wanted = [job for plan in plans for job in jobs_of(plan, pool)]
    trained = train_jobs(wanted, workers=workers, device=device, folder=folder, progress=progress)
    pairs = []
    for number, plan in enumerate(plans):
        f, g = trained[2 * number : 2 * number + 2]
        kept = {step: (f.snapshots[step], g.snapshots[step]) for step in plan.snapshots}
        pairs.append(EncoderPair(f.encoder, g.encoder, plan.split, kept))
    return pairs


def jobs_of(plan: PairPlan, pool: Pool) -> tuple[Job, Job]:
    """The trainings of f and g."""
    f = job_on(plan.recipe, pool, plan.split.train_f, snapshots=plan.snapshots)
    if not plan.same_data:
        return f, job_on(plan.recipe, pool, plan.split.train_g, snapshots=plan.snapshots)
    again = dataclasses.replace(plan.recipe, seed=plan.recipe.seed + ANOTHER_SEED)
    return f, job_on(again, pool, plan.split.train_f, snapshots=plan.snapshots)


def train_jobs(
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    device: str | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[TrainedEncoder]:
    """Trains all jobs, or loads what was trained before.

    Args:
        jobs: what to train.
        workers: processes that train at the same time, one thread each. Small networks gain more from two processes
            of one thread than from one of two. 1 trains here.
        device: where to train; None: the CPU.
        folder: of the artefacts; None: that of `trustlib.encoders`.
        progress: wraps the iteration, called with (encoders, total); None shows nothing.

    Returns:
        In the order of the jobs.

    Raises:
        ValueError: no worker; and as `trustlib.encoders.train`.
    """
    found = map_workers(
        functools.partial(_train, device=device, folder=folder), jobs, workers=workers, progress=progress,
        returns=False,
    )  # fmt: skip
    return [_train(job, device=device, folder=folder) for job in jobs] if found is None else found


def map_workers(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    workers: int,
    progress: Progress | None = None,
    returns: bool = True,
) -> list[Any] | None:
    """Calls a function on every item, in this process or in several with one thread each.

    Args:
        function: can be pickled: a function of a module, or a partial of one.
        items: what to call it on.
        workers: processes; 1 (or a single item) calls it here.
        progress: wraps the iteration, called with (results, number of items).
        returns: False: results of other processes stay there, and None is returned.

    Returns:
        Results in the order of the items, or None.

    Raises:
        ValueError: no worker.
    """
    if workers < 1:
        raise ValueError(f"workers must be >= 1, got {workers}")
    shown: Progress = (lambda steps, total: steps) if progress is None else progress
    if workers == 1 or len(items) < 2:
        return list(shown(map(function, items), len(items)))
    context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of torch
    call = function if returns else functools.partial(_forget, function)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as executor:
        results = list(shown(executor.map(call, items), len(items)))
    return results if returns else None


def _forget(function: Callable[[Any], Any], item: Any) -> None:
    """Calls a function whose result would be dear to send to another process."""
    function(item)


def _one_thread() -> None:
    """Keeps a worker to one thread."""
    import torch

    torch.set_num_threads(1)


def _train(job: Job, *, device: str | None, folder: Path | None) -> TrainedEncoder:
    """One training, or its artefact."""
    from trustlib.encoders import train_or_load

    return train_or_load(
        job.recipe, job.pixels, job.labels, index=job.index, snapshots=job.snapshots, folder=folder, device=device,
        progress=False,
    )  # fmt: skip
