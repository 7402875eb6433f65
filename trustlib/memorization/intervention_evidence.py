"""Studies that change an encoder and measure downstream: replaced layers, tuned layers, pruned units.

What each statistic is, and the rule that it is put through, stands in ``book/claims.yml``. Downstream
accuracy is that of a linear probe that is trained anew after the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.encoders import embed, linear_probe
from trustlib.memorization.evidence_statistics import spearman
from trustlib.memorization.interventions import pruned, pruning_masks
from trustlib.memorization.studies import fine_tuning_study, replacement_study
from trustlib.memorization.unit_evidence import StudyEvidence, table_of
from trustlib.memorization.unit_responses import UnitResponses, as_images
from trustlib.memorization.units import unitmem_from_activations

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ProbeData:
    """Labelled images for a linear probe.

    Args:
        images: for training the probe, uint8 or float in [0, 1], shape (n, C, H, W).
        labels: integer classes 0 to K - 1, shape (n,), all present.
        test_images: for measuring it.
        test_labels: shape (m,).
        weight_decay: of the probe, > 0; the same in all arms.
    """

    images: Any
    labels: ArrayLike
    test_images: Any
    test_labels: ArrayLike
    weight_decay: float = 1e-2

    def accuracy(self, encoder: nn.Module) -> float:
        """Share of test images that a probe on the encoder's features gets right, in [0, 1]."""
        train, test = (np.asarray(embed(encoder, images)) for images in (self.images, self.test_images))
        return linear_probe(
            train, self.labels, test, self.test_labels, weight_decay=self.weight_decay
        ).accuracy


def replacement(
    encoders: Sequence[nn.Module],
    donors: Sequence[nn.Module],
    delta: ArrayLike,
    blocks: Sequence[str],
    probe: ProbeData,
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> StudyEvidence:
    """Samples for memorization-16: does accuracy follow the memorization of the layer that is replaced?

    drop_follows_delta = rho(drop, delta) - max(rho(drop, parameters), rho(drop, depth)), Spearman over layers, in
    bootstrap replicates that draw encoder pairs (and average them) and layers with replacement.

    Args:
        encoders: one per encoder pair, same architecture.
        donors: as many, same architecture, trained on other data.
        delta: LayerMem of each layer minus that of the previous one, shape (pairs, L); nan for layers without one (the
            first), which are replaced and shown but left out of the correlations.
        blocks: dotted names of the modules to replace, L in order of execution: convolution with its normalisation.
        probe: labelled images of the encoders' own kind.
        n_boot: replicates, >= 200.
        seed: of the bootstrap and the control.

    Returns:
        Sample drop_follows_delta, one per replicate; control shuffled_delta (delta permuted among layers in every
        replicate). Table: encoder, layer, depth (1 to L), parameters, delta, intact and replaced (accuracies), drop.

    Raises:
        ValueError: shapes or numbers that do not fit, or fewer than four layers with a delta.

    Example:
        >>> import torch
        >>> nets = [torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(5)]) for _ in range(2)]
        >>> data = ProbeData(torch.rand(8, 4), [0, 1] * 4, torch.rand(4, 4), [0, 1] * 2)
        >>> delta = [[np.nan, 0.1, 0.2, 0.3, 0.4]]
        >>> found = replacement(nets[:1], nets[1:], delta, ["0", "1", "2", "3", "4"], data, n_boot=200)
        >>> found.samples["drop_follows_delta"].shape, len(found.table)
        ((200,), 5)

    Source: Wang et al., NeurIPS 2024, appendix C.7; the comparison with depth and size is ours.
    """
    steps = _deltas(delta, len(encoders), blocks)
    if len(donors) != len(encoders) or n_boot < 200:
        raise ValueError(
            f"replacement needs one donor per encoder and n_boot >= 200, got {len(donors)} donors for "
            f"{len(encoders)} encoders and n_boot={n_boot}"
        )
    rows = []
    for number, (encoder, donor) in enumerate(zip(encoders, donors, strict=True)):
        frame = replacement_study(encoder, donor, {name: [name] for name in blocks}, probe.accuracy)
        intact = float(frame.loc[0, "value"])
        for depth, (_, row) in enumerate(frame.iloc[1:].iterrows(), start=1):
            rows.append({
                "encoder": number, "layer": row["arm"], "depth": depth, "parameters": row["parameters"],
                "delta": steps[number, depth - 1], "intact": intact, "replaced": row["value"], "drop": row["drop"],
            })  # fmt: skip
    table = table_of(rows)
    drops = table["drop"].to_numpy().reshape(len(encoders), -1)
    parameters = table["parameters"].to_numpy(dtype=np.float64)[: len(blocks)]
    samples, control = drop_replicates(drops, steps, parameters, n_boot=n_boot, seed=seed)
    return StudyEvidence({"drop_follows_delta": samples}, {"shuffled_delta": control}, table)


def drop_replicates(
    drops: Floats, delta: Floats, parameters: Floats, *, n_boot: int, seed: int
) -> tuple[Floats, Floats]:
    """Bootstrap replicates of the statistic of `replacement`, and of its control.

    Args:
        drops: accuracy lost by replacing a layer, shape (pairs, L).
        delta: shape (pairs, L), nan where a layer has none.
        parameters: of the layers, shape (L,).
        n_boot: replicates.
        seed: of the draws.

    Returns:
        rho(drop, delta) - max(rho(drop, parameters), rho(drop, depth)), and the same with delta permuted among
        layers, shape (n_boot,) each.

    Raises:
        ValueError: fewer than four layers with a delta.

    Example:
        >>> drops, size = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([1.0, 2.0, 3.0, 4.0])
        >>> bool(np.median(drop_replicates(drops, drops, size, n_boot=200, seed=0)[0]) > 1)
        True

    Source: ours.
    """
    usable = np.flatnonzero(np.isfinite(delta).all(axis=0))
    if len(usable) < 4:
        raise ValueError(f"a rank correlation needs at least 4 layers with a delta, got {len(usable)}")
    rng = np.random.default_rng(seed)
    pairs = rng.integers(len(drops), size=(n_boot, len(drops)))
    chosen = _layer_draws(len(usable), n_boot, rng)
    loss, gain = (
        np.take_along_axis(v[:, usable][pairs].mean(axis=1), chosen, axis=1) for v in (drops, delta)
    )
    size, depth = parameters[usable][chosen], usable.astype(np.float64)[chosen]
    other = np.maximum(spearman(size, loss), spearman(depth, loss))
    shuffled = np.argsort(rng.random((n_boot, len(usable))), axis=1)
    permuted = np.take_along_axis(delta[:, usable][pairs].mean(axis=1), shuffled, axis=1)
    null = np.take_along_axis(permuted, chosen, axis=1)
    return spearman(gain, loss) - other, spearman(null, loss) - other


def fine_tuning(
    encoders: Sequence[nn.Module],
    delta: ArrayLike,
    blocks: Sequence[str],
    probe: ProbeData,
    *,
    n_layers: int = 3,
    epochs: int = 5,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    seed: int = 0,
) -> StudyEvidence:
    """Samples for memorization-17: tuning the layers with the largest delta against tuning as many last layers.

    Args:
        encoders: one per seed.
        delta: LayerMem of each layer minus that of the previous one, shape (seeds, L); nan for the first.
        blocks: dotted names of the layers, L in order of execution.
        probe: labelled images of the data set to tune on; its weight decay is not used.
        n_layers: how many layers are tuned with the head, 1 to L - 1.
        epochs: passes over the images.
        learning_rate: of Adam.
        batch_size: images per step.
        seed: of heads, orders and the random layers.

    Returns:
        Sample accuracy_gain (largest delta minus last), one per seed; control random_layers (random minus last). Table:
        seed, arm ("head", "largest delta", "last", "random"), layers, parameters (tuned, without head), accuracy.

    Raises:
        ValueError: shapes or numbers that do not fit.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
        >>> data = ProbeData(torch.rand(8, 4), [0, 1] * 4, torch.rand(4, 4), [0, 1] * 2)
        >>> fine_tuning([net], [[np.nan, 0.2, 0.1]], ["0", "1", "2"], data, n_layers=1).table["layers"].tolist()[:3]
        ['', '1', '2']

    Source: Wang et al., NeurIPS 2024, table 5.
    """
    import torch

    steps = _deltas(delta, len(encoders), blocks)
    if not 1 <= n_layers < len(blocks):
        raise ValueError(f"n_layers must be in 1 to {len(blocks) - 1}, got {n_layers}")
    train, test = (
        (as_images(images, name), torch.as_tensor(np.asarray(labels), dtype=torch.int64))
        for images, labels, name in (
            (probe.images, probe.labels, "images"), (probe.test_images, probe.test_labels, "test_images"),
        )
    )  # fmt: skip
    rng = np.random.default_rng(seed)
    rows = []
    for number, encoder in enumerate(encoders):
        largest = np.argsort(-np.nan_to_num(steps[number], nan=-np.inf), kind="stable")[:n_layers]
        order = np.arange(len(blocks))
        sets = {"head": order[:0], "largest delta": largest, "last": order[-n_layers:]}
        sets["random"] = rng.permutation(order)[:n_layers]
        frame = fine_tuning_study(
            encoder, {arm: [blocks[k] for k in sorted(index)] for arm, index in sets.items()}, train, test,
            n_classes=int(train[1].max()) + 1, epochs=epochs, learning_rate=learning_rate,
            batch_size=batch_size, seeds=[seed + number],
        )  # fmt: skip
        found = frame.drop(columns="measure").rename(columns={"value": "accuracy"})
        rows += found.assign(seed=number).to_dict("records")
    table = table_of(rows)
    wide = table.pivot(index="seed", columns="arm", values="accuracy")
    return StudyEvidence(
        {"accuracy_gain": (wide["largest delta"] - wide["last"]).to_numpy()},
        {"random_layers": (wide["random"] - wide["last"]).to_numpy()},
        table[["seed", "arm", "layers", "parameters", "accuracy"]],
    )


def pruning(
    encoders: Sequence[nn.Module],
    responses: Sequence[UnitResponses],
    probe: ProbeData,
    *,
    share: float = 0.2,
    other_shares: Sequence[float] = (),
    n_random: int = 10,
    seed: int = 0,
) -> StudyEvidence:
    """Samples for memorization-22: silence units by UnitMem and train the probe again.

    Args:
        encoders: one per encoder pair.
        responses: theirs, from `unit_responses`; the share is pruned in each of its layers.
        probe: labelled images.
        share: of the units of every layer, in (0, 1): the one the samples are about.
        other_shares: further shares for the curves of the table.
        n_random: random draws, 10 in the paper.
        seed: of the draws and permutations.

    Returns:
        Samples low_minus_top and random_minus_top, one per encoder; controls random_scores (low minus top by UnitMem
        permuted within layers) and another_draw (mean of the random draws minus one more). Table: encoder, arm ("none",
        "top", "low", "random", "another", "permuted top", "permuted low", "most active", "least active"), share, draw,
        accuracy.

    Raises:
        ValueError: numbers that do not fit, or as ``pruned``.

    Example:
        >>> import torch
        >>> from trustlib.encoders import augmentation
        >>> from trustlib.memorization.unit_responses import unit_responses
        >>> net = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.ReLU(), torch.nn.Flatten())
        >>> x = torch.rand(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
        >>> found = unit_responses(net, x[:4], x[4:], augmentation("weak"), ["1"], n_views=2)
        >>> data = ProbeData(x[:4], [0, 1, 0, 1], x[4:], [0, 1, 0, 1])
        >>> sorted(pruning([net], [found], data, n_random=1).samples)
        ['low_minus_top', 'random_minus_top']

    Source: Wang et al., NeurIPS 2024, table 6; pruning by mean activation and the controls are ours.
    """
    if len(encoders) != len(responses) or n_random < 1:
        raise ValueError(
            f"pruning needs responses for each encoder and n_random >= 1, got {len(responses)} for {len(encoders)} "
            f"and n_random={n_random}"
        )
    rows = []
    for number, (encoder, found) in enumerate(zip(encoders, responses, strict=True)):
        rows.append(
            {"encoder": number, "arm": "none", "share": 0.0, "draw": 0, "accuracy": probe.accuracy(encoder)}
        )
        for each in dict.fromkeys([share, *other_shares]):
            for (arm, draw), masks in _arms(found, each, n_random, [seed, number]).items():
                with pruned(encoder, masks):
                    value = probe.accuracy(encoder)
                rows.append({"encoder": number, "arm": arm, "share": each, "draw": draw, "accuracy": value})
    table = table_of(rows)
    mean = table[table["share"] == share].groupby(["arm", "encoder"], sort=True)["accuracy"].mean()
    return StudyEvidence(
        {
            "low_minus_top": (mean["low"] - mean["top"]).to_numpy(),
            "random_minus_top": (mean["random"] - mean["top"]).to_numpy(),
        },
        {
            "random_scores": (mean["permuted low"] - mean["permuted top"]).to_numpy(),
            "another_draw": (mean["random"] - mean["another"]).to_numpy(),
        },
        table,
    )


# ------------------------------------------------------------------------------------------------------ statistics


def _deltas(delta: ArrayLike, encoders: int, blocks: Sequence[str]) -> Floats:
    """Deltas as (encoders, L)."""
    values = np.asarray(delta, dtype=np.float64)
    if values.shape != (encoders, len(blocks)) or not encoders:
        raise ValueError(
            f"delta must have one value per encoder and layer, shape ({encoders}, {len(blocks)}), got {values.shape}"
        )
    return values


def _layer_draws(layers: int, n_boot: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Layers drawn with replacement, at least three different ones in a draw, shape (n_boot, layers)."""
    drawn = rng.integers(layers, size=(n_boot, layers))
    while True:
        few = np.array([len(set(row)) < 3 for row in drawn.tolist()])
        if not few.any():
            return drawn
        drawn[few] = rng.integers(layers, size=(int(few.sum()), layers))


def _arms(
    found: UnitResponses, share: float, n_random: int, seed: Sequence[int]
) -> dict[tuple[str, int], dict[str, NDArray[np.bool_]]]:
    """Masks of all arms of a pruning, by arm and draw."""
    rng = np.random.default_rng(seed)
    scores = {layer: unitmem_from_activations(mu).scores for layer, mu in found.members.items()}
    active = {layer: mu.mean(axis=0) for layer, mu in found.members.items()}
    permuted = {layer: rng.permutation(values) for layer, values in scores.items()}
    ordered: dict[str, tuple[Mapping[str, Floats], Any]] = {
        "top": (scores, "top"), "low": (scores, "low"), "permuted top": (permuted, "top"),
        "permuted low": (permuted, "low"), "most active": (active, "top"), "least active": (active, "low"),
    }  # fmt: skip
    arms = {(name, 0): pruning_masks(values, share=share, arm=arm) for name, (values, arm) in ordered.items()}
    for draw in range(n_random + 1):
        masks = pruning_masks(scores, share=share, arm="random", seed=int(rng.integers(2**62)))
        arms[("random", draw) if draw < n_random else ("another", 0)] = masks
    return arms
