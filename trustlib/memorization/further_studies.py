"""Studies that train encoders beyond the main pairs: one method per claim, trained only when asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization import evidence_variants as variants
from trustlib.memorization.evidence import Evidence
from trustlib.memorization.evidence_studies import (
    accuracies,
    accuracy_change,
    matched,
    penalized_pairs,
    private_pairs,
    removal_frame,
    scores_by_run,
    subsets_of,
    untrained,
)
from trustlib.memorization.insertion_evidence import insertion
from trustlib.memorization.intervention_evidence import fine_tuning, replacement
from trustlib.memorization.layermem import LayerMem
from trustlib.memorization.pairs import EncoderPair, Job, Progress
from trustlib.memorization.pairs_altered import Privacy
from trustlib.memorization.pairs_scores import conv_layers, layer_scores
from trustlib.memorization.pairs_study import Study, strengths
from trustlib.memorization.taps import vit_blocks
from trustlib.memorization.unit_class_evidence import class_restriction, points_and_classes
from trustlib.memorization.unit_evidence import StudyEvidence
from trustlib.memorization.unit_responses import UnitResponses, clean_responses, unit_responses

if TYPE_CHECKING:
    from torch import nn

    from trustlib.claims import ClaimResult
    from trustlib.encoders import Augmentation, Recipe

PENALTY = 0.3  # weight of the alignment term
EPSILON, DELTA, CLIP_NORM = 8.0, 1e-3, 1.0  # of private training
DECAYS = (1e-4, 1e-2, 1.0)
SEEDS = 4  # trainings on one split
STRONG_DECAY = 3.0  # lowers the probe without looking at alignment
FACTORS = (0.5, 1.0, 2.0)  # of the width
WIDTH = 16  # where the network of the study has no width of its own

__all__ = ["FurtherStudies", "decided"]


@dataclass
class FurtherStudies:
    """Evidence that needs other trainings than the main pairs.

    Args:
        study: pool, splits, recipe.
        pairs: the main pairs, trained by the study's recipe.
        augment: of their training.
        n_views: views per point.
        seed: of the views that score.
        strengths: distributions of views from weak to strong; the middle one scores all of them.
        progress: wraps long loops, called with (steps, total); None shows nothing.
        notes: numbers that a card does not hold, filled by the studies, such as the privacy parameters.
    """

    study: Study
    pairs: Sequence[EncoderPair]
    augment: Augmentation
    n_views: int
    seed: int
    strengths: dict[str, Augmentation] = field(default_factory=lambda: strengths("small"))
    progress: Progress | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the scores."""
        return {"n_views": self.n_views, "seed": self.seed}

    @property
    def encoders(self) -> list[nn.Module]:
        """The f of every main pair."""
        return [pair.f for pair in self.pairs]

    def _scored(self, pairs: Sequence[EncoderPair], augment: Augmentation | None = None) -> dict[str, Any]:
        return subsets_of(self.study, pairs, self.augment if augment is None else augment, **self.settings)

    def augmentation_strength(self) -> Evidence:
        """Samples for memorization-6: the same recipe with three distributions of views."""
        trained = self.study.train({n: self.study.plans(augment=a) for n, a in self.strengths.items()})
        common = list(self.strengths.values())[len(self.strengths) // 2]
        own = {name: self._scored(pairs, self.strengths[name]) for name, pairs in trained.items()}
        return variants.strengths(own, {name: self._scored(pairs, common) for name, pairs in trained.items()})

    def width(self) -> Evidence:
        """Samples for memorization-7: three widths of ResNet-9, a factor of two apart, at equal steps."""
        options = self.study.recipe.backbone_options
        sizes = [max(2, round(int(options.get("width", WIDTH)) * factor)) for factor in FACTORS]
        plans = {
            str(w): self.study.plans(backbone="resnet9", stem="standard", backbone_options={"width": w})
            for w in sizes
        }
        trained = self.study.train(plans)
        return variants.widths({int(name): self._scored(pairs) for name, pairs in trained.items()})

    def removal(self) -> Evidence:
        """Samples for memorization-8: pre-training without a quarter of the points, then a probe."""
        frame = removal_frame(self.study, self.augment, n_views=self.n_views, seed=self.seed)
        self.notes["removal"] = frame
        return variants.removal(frame)

    def penalty(self) -> Evidence:
        """Samples for memorization-9: a term that keeps the views of an image apart."""
        altered = penalized_pairs(self.study, PENALTY)
        decayed = self.study.train({"decay": self.study.plans(weight_decay=STRONG_DECAY)})["decay"]
        accuracy = accuracy_change(
            self.encoders, [pair.f for pair in altered], self.study.probe, seed=self.seed
        )
        self.notes["penalty"] = {
            "none": float(accuracies(self.encoders, self.study.probe).mean()),
            "term": float(accuracies([p.f for p in altered], self.study.probe).mean()),
            "weight decay": float(accuracies([p.f for p in decayed], self.study.probe).mean()),
        }
        return variants.less_memorization(
            self._scored(self.pairs), self._scored(altered), self._scored(decayed), accuracy,
            part="memorization", control_name="weight_decay",
        )  # fmt: skip

    def private_training(self, recipe: Recipe) -> Evidence:
        """Samples for memorization-10: without privacy, clipped only, and at epsilon = 8.

        Args:
            recipe: of a method with a loss per image and without batch normalisation, such as "mae".
        """
        plain = self.study.train({"plain": self.study.plans(recipe)})["plain"]
        level = {"delta": DELTA, "clip_norm": CLIP_NORM}
        noised, privacy = private_pairs(self.study, recipe, epsilon=EPSILON, **level)
        clipped, _ = private_pairs(self.study, recipe, epsilon=np.inf, **level)
        self.notes["privacy"] = privacy
        accuracy = accuracy_change(
            [p.f for p in plain], [p.f for p in noised], self.study.probe, seed=self.seed
        )
        before, after, control = (self._scored(pairs, recipe.augment) for pairs in (plain, noised, clipped))
        return variants.less_memorization(
            before, after, control, accuracy, part="without_privacy", control_name="clipping_without_noise"
        )

    def branches(self, recipe: Recipe) -> Evidence:
        """Samples for memorization-13: attention and fully-connected branches of a transformer.

        Args:
            recipe: with a vision transformer.
        """
        pairs = self.study.train({"vit": self.study.plans(recipe)})["vit"]
        blocks = vit_blocks(pairs[0].f)
        layers = [name for block in blocks for name in block.layers]
        table = layer_scores(pairs, self.study.pool, recipe.augment, layers, **self.settings)
        self.notes["branches"] = table
        return variants.branches(table, blocks)

    def other_method(self, recipe: Recipe) -> Evidence:
        """Samples for memorization-14: profiles of two methods at similar probe accuracy.

        Args:
            recipe: of another method on the same backbone.
        """
        plans = {"one": self.study.plans(snapshots=True), "two": self.study.plans(recipe, snapshots=True)}
        trained = self.study.train(plans)
        one, two, reached = matched(trained["one"], trained["two"], self.study.probe)
        self.notes["matched"] = reached
        null = untrained(one, self.study)
        return variants.profiles(*(self._profile(pairs) for pairs in (one, two, null)))

    def _profile(self, pairs: Sequence[EncoderPair]) -> LayerMem:
        names = conv_layers(pairs[0].f)
        return layer_scores(pairs, self.study.pool, self.augment, names, **self.settings)

    def layer_replacement(self, donor_pixels: NDArray[np.uint8], delta: NDArray[np.float64]) -> Evidence:
        """Samples for memorization-16: one layer at a time from an encoder of other images.

        Args:
            donor_pixels: images of another kind, uint8 (n, C, S, S).
            delta: gain of LayerMem beyond that of external points, shape (pairs, L), nan for the first layer, such as
                ``LayerMem.gain_by_pair``.
        """
        jobs = [
            Job(dataclasses.replace(self.study.recipe, seed=self.study.recipe.seed + n), donor_pixels,
                np.arange(len(donor_pixels)))
            for n in range(len(self.pairs))
        ]  # fmt: skip
        donors = [run.encoder for run in self.study.train_jobs(jobs)]
        found = replacement(self.encoders, donors, delta, self._blocks(), self.study.probe, seed=self.seed)
        self.notes["replacement"] = found.table
        return found

    def layer_tuning(self, delta: NDArray[np.float64]) -> Evidence:
        """Samples for memorization-17: tune the layers with the largest gain, or as many last ones.

        Args:
            delta: see `layer_replacement`.
        """
        found = fine_tuning(self.encoders, delta, self._blocks(), self.study.probe, seed=self.seed)
        self.notes["tuning"] = found.table
        return found

    def _blocks(self) -> list[str]:
        """Modules that hold a convolution and its normalisation, or the convolution where they hold more."""
        names = conv_layers(self.pairs[0].f)
        parents = [name.rpartition(".")[0] for name in names]
        alone = len(set(parents)) == len(parents) and all(parents)
        return parents if alone else names

    def supervised_responses(self, layers: Sequence[str], *, rectify: bool) -> list[UnitResponses]:
        """Responses of encoders trained with labels on the points of every f.

        Args:
            layers: see `unit_responses`.
            rectify: see `unit_responses`.
        """
        encoders = [run.encoder for run in self.study.train_jobs(self.study.supervised())]
        self.notes["supervised"] = encoders
        return [
            self.responses(encoder, pair, layers, rectify=rectify, seed=self.seed + 50 + n)
            for n, (encoder, pair) in enumerate(zip(encoders, self.pairs, strict=True))
        ]

    def responses(
        self, encoder: nn.Module, pair: EncoderPair, layers: Sequence[str], *, rectify: bool, seed: int
    ) -> UnitResponses:
        """Responses of one encoder to the candidates of a pair and, held out, to the points that only its g saw.

        Those differ from pair to pair, so that an interval over pairs covers the choice of held-out images too.

        Args:
            encoder: f of the pair, or another one trained on its points.
            pair: whose candidates.
            layers: see `unit_responses`.
            rectify: see `unit_responses`.
            seed: of views and untrained network.
        """
        members = self.study.pool.pixels[pair.split.candidate]
        return unit_responses(
            encoder,
            members,
            self.heldout(pair),
            self.augment,
            layers,
            n_views=self.n_views,
            rectify=rectify,
            seed=seed,
        )

    def inserted(
        self,
        pair: EncoderPair,
        layers: Sequence[str],
        *,
        tuned: str,
        rectify: bool,
        n_images: int,
    ) -> StudyEvidence:
        """Samples for memorization-21: external images trained into one unit of f, one after the other.

        Args:
            pair: whose f, and whose candidates UnitMem is taken over.
            layers: see `insertion`.
            tuned: see `insertion`.
            rectify: see `insertion`.
            n_images: the last external images.
        """
        members = self.study.pool.pixels[pair.split.candidate]
        foreign = self.study.pool.external[-n_images:]
        return insertion(
            pair.f, members, foreign, self.augment, layers, tuned=tuned, n_views=2 * (self.n_views // 2),
            rectify=rectify, seed=self.seed,
        )  # fmt: skip

    def points_against_classes(
        self,
        ssl: Sequence[UnitResponses],
        supervised: Sequence[UnitResponses],
    ) -> StudyEvidence:
        """Samples for memorization-20: UnitMem and ClassMem of self-supervised and supervised units.

        Args:
            ssl: responses of the main encoders.
            supervised: of `supervised_responses`.
        """
        found = points_and_classes(
            ssl, supervised, self.member_labels(), self.heldout_labels(), seed=self.seed
        )
        self.notes["classes"] = found.table
        return found

    def member_labels(self) -> list[NDArray[np.int64]]:
        """Classes of the candidates of every pair."""
        return [self._labels()[pair.split.candidate] for pair in self.pairs]

    def heldout(self, pair: EncoderPair) -> NDArray[np.uint8]:
        """The images that f of a pair never saw and g did, as many as candidates."""
        return self.study.pool.pixels[pair.split.independent[: len(pair.split.candidate)]]

    def heldout_labels(self) -> list[NDArray[np.int64]]:
        """Classes of the held-out images of every pair."""
        return [self._labels()[p.split.independent[: len(p.split.candidate)]] for p in self.pairs]

    def class_restriction(
        self, ssl: Sequence[UnitResponses], layers: Sequence[str], *, rectify: bool
    ) -> StudyEvidence:
        """Samples for memorization-28: UnitMem on the points of one class; after `supervised_responses`.

        Args:
            ssl: responses of the main encoders.
            layers: see `unit_responses`; the last one is used.
            rectify: see `unit_responses`.
        """
        taught = [
            clean_responses(encoder, self.heldout(pair), layers[-1:], rectify=rectify)[layers[-1]]
            for encoder, pair in zip(self.notes["supervised"], self.pairs, strict=True)
        ]
        held = self.heldout_labels()
        return class_restriction(
            ssl, self.member_labels(), taught, held, heldout_labels=held, layer=layers[-1], seed=self.seed
        )

    def _labels(self) -> NDArray[np.int64]:
        """Classes of the pool."""
        if self.study.pool.labels is None:
            raise ValueError("class selectivity needs labels; the pool has none")
        return self.study.pool.labels

    def other_seeds(self) -> Evidence:
        """Samples for memorization-26: the same split, other seeds of training."""
        pairs = self.study.train({"seeds": self.study.reseeded(SEEDS)})["seeds"]
        found = scores_by_run(self.study, pairs, self.augment, subsets="CE", **self.settings)
        return variants.seeds(found["C"], found["E"])

    def weight_decay(self) -> Evidence:
        """Samples for memorization-27: three weight decays."""
        plans = {str(decay): self.study.plans(weight_decay=decay) for decay in DECAYS}
        trained = {float(name): pairs for name, pairs in self.study.train(plans).items()}
        small, large = ([pair.f for pair in trained[d]] for d in (min(DECAYS), max(DECAYS)))
        accuracy = accuracy_change(small, large, self.study.probe, seed=self.seed)
        return variants.decays({d: self._scored(pairs) for d, pairs in trained.items()}, accuracy)

    @property
    def privacy(self) -> Privacy | None:
        """What the private training promised, once it ran."""
        return self.notes.get("privacy")


def decided(
    claim_id: str, study: Callable[[], Evidence], *, run: bool, path: str | None = None
) -> ClaimResult:
    """Runs a study and decides its claim, or says why not.

    Args:
        claim_id: such as "memorization-6".
        study: makes the samples; called only if ``run``.
        run: whether to train the encoders that it needs.
        path: the claims file; see `trustlib.claims.load_claims`.

    Example:
        >>> decided("memorization-6", lambda: None, run=False).verdict
        'not tested'
    """
    from trustlib import claims

    if not run:
        reason = "needs encoders beyond the main pairs; this run has further = False"
        return claims.not_tested(claim_id, reason, path=path)
    found = study()
    return claims.check(claim_id, found.samples, controls=found.controls, path=path)
