"""Pairs of encoders: who is trained on what, in how many processes, under which gradient; scores that see it."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
import torch

from trustlib.data import load_images
from trustlib.encoders import Recipe, augmentation, backbone, train
from trustlib.memorization import leave_out_split, sslmem
from trustlib.memorization.evidence_studies import (
    accuracy_change,
    atypicality_of,
    matched,
    penalized_pairs,
    removal_frame,
    subsets_of,
    untrained,
)
from trustlib.memorization.intervention_evidence import ProbeData
from trustlib.memorization.pairs import (
    ANOTHER_SEED,
    EncoderPair,
    Job,
    PairPlan,
    Pool,
    job_on,
    jobs_of,
    map_workers,
    train_jobs,
    train_pairs,
)
from trustlib.memorization.pairs_altered import privacy_of, train_penalized, train_private
from trustlib.memorization.pairs_scores import (
    as_tensor,
    conv_layers,
    layer_scores,
    score_pairs,
    subset_arrays,
)
from trustlib.memorization.pairs_study import one_per_family, small_recipe, strengths, study_of, unit_layers

WEAK = augmentation("weak")
TINY = Recipe(
    method="simclr", backbone="resnet9", steps=4, batch_size=8, augment=WEAK, backbone_options={"width": 4},
    method_options={"output_dim": 8},
)  # fmt: skip
SPLIT = leave_out_split(24, shared=16, candidate=4, independent=4, seed=0)


@pytest.fixture(scope="module")
def pool():
    """Thirty-two small scenes, eight of them external."""
    images = load_images("scenes", n=32, size=16)
    return Pool(images.pixels[:24], images.pixels[24:], images.labels[:24])


@pytest.fixture(scope="module")
def pairs(pool, tmp_path_factory):
    """Two trained pairs with a snapshot each."""
    plans = [PairPlan(dataclasses.replace(TINY, seed=n), SPLIT, snapshots=(2, 4)) for n in range(2)]
    return train_pairs(plans, pool, folder=tmp_path_factory.mktemp("encoders"))


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of two pairs that keeps its encoders apart from the user's."""
    monkeypatch.setenv("TRUSTLIB_CACHE", str(tmp_path))
    images, others = load_images("scenes", n=40, size=16), load_images("scenes", "test", n=24, size=16)
    sizes = {"n_shared": 16, "n_candidate": 4, "n_probe": 16}
    return study_of(images, others, TINY, **sizes, runs=2, seed=0)


def same(one, other):
    """Whether two encoders have the same weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_f_sees_candidates_g_sees_independent_points_under_common_identities(pool):
    f, g = jobs_of(PairPlan(TINY, SPLIT), pool)
    assert set(f.index) == {*SPLIT.shared, *SPLIT.candidate}
    assert set(g.index) == {*SPLIT.shared, *SPLIT.independent}
    assert (f.pixels == pool.pixels[f.index]).all()
    assert f.recipe == g.recipe  # the same initial weights
    again = jobs_of(PairPlan(TINY, SPLIT, same_data=True), pool)[1]
    assert (again.index == f.index).all()
    assert again.recipe.seed == TINY.seed + ANOTHER_SEED


def test_labels_come_along_where_the_method_needs_them(pool):
    points = np.array([3, 1])
    assert job_on(TINY, pool, points).labels is None
    taught = job_on(dataclasses.replace(TINY, method="supervised", method_options={}), pool, points)
    assert taught.labels.tolist() == pool.labels[points].tolist()


def test_pool_refuses_images_of_two_shapes_and_missing_labels(pool):
    with pytest.raises(ValueError, match="of one shape"):
        Pool(pool.pixels, pool.external[:, :, :8, :8])
    with pytest.raises(ValueError, match="each of the 24 images, got 3"):
        Pool(pool.pixels, pool.external, pool.labels[:3])


def test_pairs_equal_plain_trainings_and_are_found_again(pool, tmp_path):
    [pair] = train_pairs([PairPlan(TINY, SPLIT)], pool, folder=tmp_path)
    plain = train(TINY, pool.pixels[SPLIT.train_f], index=SPLIT.train_f)
    assert same(pair.f, plain.encoder)
    assert not same(pair.f, pair.g)
    [again] = train_jobs([jobs_of(PairPlan(TINY, SPLIT), pool)[0]], folder=tmp_path)
    assert again.card["loaded"]


def test_snapshots_are_earlier_pairs(pairs):
    assert same(pairs[0].at(4).f, pairs[0].f)
    assert not same(pairs[0].at(2).f, pairs[0].f)
    with pytest.raises(ValueError, match=r"no snapshot at step 3; there are \[2, 4\]"):
        pairs[0].at(3)


def test_workers_leave_the_weights_that_one_process_leaves(pool, tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker
    try:
        [alone] = train_pairs([PairPlan(TINY, SPLIT)], pool, folder=tmp_path / "one")
        seen = []
        together = train_pairs(
            [PairPlan(TINY, SPLIT)], pool, workers=2, folder=tmp_path / "two",
            progress=lambda steps, total: (seen.append(total) or step for step in steps),
        )[0]  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    assert same(alone.f, together.f)
    assert same(alone.g, together.g)
    assert seen == [2, 2]  # once per encoder


def test_map_workers_keeps_the_order_and_refuses_no_worker():
    assert map_workers(functools.partial(pow, 2), [1, 3, 2], workers=1) == [2, 8, 4]
    with pytest.raises(ValueError, match="workers must be >= 1, got 0"):
        map_workers(abs, [1], workers=0)


# ----------------------------------------------------------------------------------------------------------- scores


def test_score_pairs_is_sslmem_of_every_subset(pairs, pool):
    frame = score_pairs(pairs, pool, WEAK, n_views=3, seed=5)
    direct = sslmem(
        pairs[1].f, pairs[1].g, as_tensor(pool.pixels[SPLIT.candidate]), WEAK, n_views=3, pairing="all",
        normalization="ratio", normalize=True, seed=5, index=SPLIT.candidate,
    )  # fmt: skip
    parts = subset_arrays(frame)
    assert {name: values.shape for name, values in parts.items()} == {
        "S": (2, 16),
        "C": (2, 4),
        "I": (2, 4),
        "E": (2, 8),
    }
    assert parts["C"][1] == pytest.approx(direct.scores)
    assert subset_arrays(score_pairs(pairs, pool, WEAK, n_views=3, seed=5, subsets="CE"))[
        "C"
    ] == pytest.approx(parts["C"])


def test_swapping_f_and_g_turns_the_sign(pairs, pool):
    swapped = [EncoderPair(pair.g, pair.f, pair.split) for pair in pairs]
    one, other = (score_pairs(p, pool, WEAK, n_views=2) for p in (pairs, swapped))
    assert one["ratio"].to_numpy() == pytest.approx(-other["ratio"].to_numpy())


def test_layer_scores_end_where_the_points_were_and_know_the_external_ones(pairs, pool):
    names = conv_layers(pairs[0].f)
    found = layer_scores(pairs, pool, WEAK, names, n_views=2)
    assert found.layers == tuple(names)
    assert found.scores.shape == (2, 8, 4)
    assert found.control_scores.shape == (2, 8, 8)


def test_layers_of_networks_that_are_not_ours():
    resnet = backbone("torchvision:resnet18", size=32)
    names = conv_layers(resnet)
    assert len(names) == 8
    assert names[0] == "body.conv1"
    assert names[-1].startswith("body.layer4.1")
    assert unit_layers(resnet, names) == (names, True)  # its ReLU runs twice, so convolutions are rectified


# --------------------------------------------------------------------------------------------------------- altered


def test_penalty_of_weight_zero_changes_nothing_and_a_penalty_keeps_views_apart(pool):
    job = Job(dataclasses.replace(TINY, steps=40, learning_rate=1e-2), pool.pixels, np.arange(24))
    plain = train(job.recipe, pool.pixels, index=job.index).encoder
    assert same(train_penalized(job, weight=0.0), plain)
    apart = train_penalized(job, weight=0.99)
    found = sslmem(plain, apart, as_tensor(pool.pixels), WEAK, n_views=4, normalize=True)
    assert found.scores.mean() > 0  # views of the penalised encoder are further apart


def test_penalty_refuses_methods_without_two_views(pool):
    recipe = small_recipe(
        "mae", "resnet9", epochs=1, n_train=24, batch_size=8, augment=WEAK, vit_dim=16, vit_depth=1
    )
    with pytest.raises(ValueError, match="mae has 1 view per image"):
        train_penalized(Job(recipe, pool.pixels, np.arange(24)), weight=0.1)


@pytest.fixture(scope="module")
def private_job(pool):
    """A masked autoencoder, whose loss is one per image."""
    recipe = small_recipe(
        "mae", "resnet9", epochs=1, n_train=24, batch_size=16, augment=WEAK, vit_dim=16, vit_depth=1
    )
    return Job(dataclasses.replace(recipe, steps=3), pool.pixels, np.arange(24))


def test_more_privacy_is_more_noise_and_clipping_alone_promises_nothing(private_job):
    levels = [privacy_of(private_job, epsilon=e, delta=1e-3, clip_norm=1.0) for e in (1.0, 8.0, np.inf)]
    assert levels[0].noise_multiplier > levels[1].noise_multiplier > levels[2].noise_multiplier == 0
    assert levels[0].sample_rate == pytest.approx(16 / 24)
    for bad in ({"epsilon": 0.0}, {"delta": 1.0}, {"clip_norm": 0.0}):
        with pytest.raises(ValueError, match="must be > 0"):
            privacy_of(private_job, **{"epsilon": 1.0, "delta": 1e-3, "clip_norm": 1.0, **bad})


def test_private_training_repeats_itself_leaves_no_hooks_and_feels_its_noise(private_job):
    quiet = privacy_of(private_job, epsilon=np.inf, delta=1e-3, clip_norm=1.0)
    loud = dataclasses.replace(quiet, noise_multiplier=5.0)
    one, again, other = (train_private(private_job, privacy=p) for p in (quiet, quiet, loud))
    assert same(one, again)
    assert not same(one, other)
    assert not [m for m in one.modules() if m._forward_hooks or m._backward_hooks]


def test_private_training_refuses_losses_that_compare_images(pool):
    quiet = privacy_of(Job(TINY, pool.pixels, np.arange(24)), epsilon=np.inf, delta=1e-3, clip_norm=1.0)
    with pytest.raises(ValueError, match="compares examples"):
        train_private(
            Job(dataclasses.replace(TINY, batch_size=16), pool.pixels, np.arange(24)), privacy=quiet
        )


def test_batches_that_may_come_out_empty_are_refused(private_job):
    rare = dataclasses.replace(private_job, recipe=dataclasses.replace(private_job.recipe, batch_size=2))
    quiet = privacy_of(rare, epsilon=np.inf, delta=1e-3, clip_norm=1.0)
    with pytest.raises(ValueError, match="may come out empty"):
        train_private(rare, privacy=quiet)


# ----------------------------------------------------------------------------------------------------------- study


def test_a_study_keeps_pool_external_points_and_probe_apart(study):
    assert len(study.pool) == 24
    assert len(study.pool.external) == 8
    assert len(study.probe.images) == 16
    assert len(study.probe.test_images) == 16
    assert study.sizes().loc[0].to_dict() == {"S": 16, "C": 4, "I": 4, "E": 8}
    assert not np.array_equal(study.splits[0].candidate, study.splits[1].candidate)
    assert [plan.recipe.seed for plan in study.plans()] == [0, 1]
    assert [plan.recipe.seed for plan in study.reseeded(3)] == [0, 100, 200]
    assert study.checkpoints[-1] == TINY.steps


def test_study_of_refuses_too_few_images():
    few = load_images("scenes", n=20, size=16)
    with pytest.raises(
        ValueError, match=r"need 24 \+ 16 training and more than 8 test images, got 20 and 20"
    ):
        study_of(few, few, TINY, n_shared=16, n_candidate=4, n_probe=16, runs=1, seed=0)


def test_families_and_strengths_are_refused_by_name():
    with pytest.raises(ValueError, match="no reconstruction method among"):
        one_per_family(["simclr", "vicreg"])
    with pytest.raises(ValueError, match="kind must be one of small, paper"):
        strengths("large")
    assert strengths("paper")["strong"] == augmentation("strong")


def test_removal_trains_every_arm_and_matches_class_counts(study):
    frame = removal_frame(study, WEAK, n_views=2, seed=0)
    arms = {"all", "top", "bottom", "random_matched", "shuffled_top", "shuffled_matched"}
    assert set(frame["arm"]) == arms
    assert len(frame) == 2 * len(arms)
    assert frame["value"].between(0, 1).all()


def test_studies_of_pairs_fit_together(study):
    trained = study.train(
        {"main": study.plans(snapshots=True), "other": study.plans(weight_decay=1.0, snapshots=True)}
    )
    main = trained["main"]
    odd = atypicality_of(study, main)
    assert {name: v.shape for name, v in odd.items()} == {"C": (2, 4), "E": (2, 8)}
    fresh = subsets_of(study, untrained(main, study), WEAK, n_views=2)
    assert fresh["C"].shape == (2, 4)
    one, other, reached = matched(main, trained["other"], study.probe)
    assert len(one) == len(other) == 2
    assert all(0 <= value <= 1 for value in reached)
    penalised = penalized_pairs(study, 0.3)
    frame = accuracy_change([p.f for p in main], [p.f for p in penalised], study.probe)
    assert len(frame) == 8
    assert set(frame["labels"]) == {"true", "permuted"}


def test_permuted_labels_leave_a_perfect_encoder_at_chance():
    eye = torch.eye(4)
    x = eye.repeat(40, 1)
    y = np.tile(np.arange(4), 40)
    probe = ProbeData(x[:80], y[:80], x[80:], y[80:])
    frame = accuracy_change([torch.nn.Identity()], [torch.nn.Identity()], probe).set_index(["arm", "labels"])[
        "value"
    ]
    assert frame["before", "true"] == frame["after", "true"] == 1.0
    assert frame["before", "permuted"] < 0.6  # a quarter, within four standard errors of 80 draws
