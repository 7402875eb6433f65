"""Every study that trains further encoders, end to end on a handful of images and steps: does it train what its claim
compares, and hand over the samples that the claim asks for?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from trustlib import claims, data
from trustlib.memorization import further_studies, pairs_study
from trustlib.memorization.evidence_studies import scores_by_run, subsets_of
from trustlib.memorization.pairs_scores import conv_layers, layer_scores

RUNS = 2
SHARED, CANDIDATES, PROBE = 24, 16, 40


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Encoders of these tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUSTLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def recipes():
    weak = pairs_study.strengths("small")["weak"]
    how = {"epochs": 2, "n_train": SHARED + CANDIDATES, "batch_size": 20, "augment": weak}
    sizes = {"width": 4, "vit_dim": 16, "vit_depth": 2}
    return {
        name: pairs_study.small_recipe(name, "resnet9", **how, **sizes)
        for name in ("simclr", "vicreg", "mae")
    }


@pytest.fixture(scope="module")
def further(cache, recipes):
    n_pool = SHARED + 2 * CANDIDATES
    train = data.load_images("scenes", "train", n=n_pool + PROBE, size=16)
    test = data.load_images("scenes", "test", n=2 * CANDIDATES + PROBE, size=16)
    study = pairs_study.study_of(
        train,
        test,
        recipes["simclr"],
        n_shared=SHARED,
        n_candidate=CANDIDATES,
        n_probe=PROBE,
        runs=RUNS,
        seed=0,
    )
    pairs = study.train({"main": study.plans()})["main"]
    return further_studies.FurtherStudies(study, pairs, recipes["simclr"].augment, n_views=2, seed=1)


@pytest.fixture(scope="module")
def delta(further):
    names = conv_layers(further.encoders[0])
    table = layer_scores(further.pairs, further.study.pool, further.augment, names, **further.settings)
    return table.gain_by_pair


def fits(number: int, found) -> None:
    """The samples and controls are those of the claim, finite and not empty."""
    claim = claims.load_claims()[f"memorization-{number}"]
    assert set(found.samples) == {part.name for part in claim.parts}
    assert set(found.controls) == {control.name for control in claim.controls}
    for values in [*found.samples.values(), *found.controls.values()]:
        assert np.size(values) > 0
        assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (6, "augmentation_strength"),
        (7, "width"),
        (8, "removal"),
        (9, "penalty"),
        (26, "other_seeds"),
        (27, "weight_decay"),
    ],
)
def test_studies_of_other_trainings(further, number, name):
    fits(number, getattr(further, name)())


def test_private_training_keeps_its_promise_in_the_notes(further, recipes):
    fits(10, further.private_training(pairs_study.private_recipe(recipes["mae"])))
    assert further.privacy is not None
    assert further.privacy.epsilon <= further_studies.EPSILON * 1.01
    assert further.privacy.delta == further_studies.DELTA


def test_branches_of_a_transformer(further, recipes):
    fits(13, further.branches(recipes["mae"]))


def test_profiles_of_two_methods(further, recipes):
    fits(14, further.other_method(recipes["vicreg"]))


def test_layers_from_other_images_and_layers_tuned(further, delta):
    donors = data.load_images("digits", "train", n=SHARED + CANDIDATES, size=16, channels=3).pixels
    fits(16, further.layer_replacement(donors, delta))
    fits(17, further.layer_tuning(delta))
    assert {"replacement", "tuning"} <= set(further.notes)


def test_units_of_supervised_encoders(further):
    layers, rectify = pairs_study.unit_layers(further.encoders[0], conv_layers(further.encoders[0]))
    own = [further.responses(p.f, p, layers, rectify=rectify, seed=n) for n, p in enumerate(further.pairs)]
    taught = further.supervised_responses(layers, rectify=rectify)
    fits(20, further.points_against_classes(own, taught))
    assert len(further.notes["supervised"]) == RUNS
    labels = np.arange(len(further.study.pool)) % 2  # two classes, so that 16 points hold two of each
    pool = dataclasses.replace(further.study.pool, labels=labels)
    two = dataclasses.replace(further, study=dataclasses.replace(further.study, pool=pool))
    fits(28, two.class_restriction(own, layers, rectify=rectify))


def test_held_out_points_are_those_that_g_alone_saw_and_differ_between_pairs(further):
    pool = further.study.pool
    for pair in further.pairs:
        index = pair.split.independent
        assert not set(index) & set(pair.split.train_f)
        assert set(index) <= set(pair.split.train_g)
        np.testing.assert_array_equal(further.heldout(pair), pool.pixels[index])
    one, other = (further.heldout(pair) for pair in further.pairs)
    assert not np.array_equal(one, other)
    own = further.heldout_labels()
    assert [values.tolist() for values in own] == [
        pool.labels[p.split.independent].tolist() for p in further.pairs
    ]


def test_every_training_is_scored_with_draws_of_its_own(further):
    twice = [further.pairs[0], further.pairs[0]]
    found = scores_by_run(further.study, twice, further.augment, subsets="CE", **further.settings)
    assert found["C"].shape == (2, CANDIDATES)
    assert found["E"].shape == (2, 2 * CANDIDATES)
    assert not np.allclose(found["C"][0], found["C"][1])
    alone = subsets_of(further.study, twice[:1], further.augment, **further.settings)
    np.testing.assert_allclose(found["C"][0], alone["C"][0], atol=1e-6)


def test_one_image_trained_into_one_unit(further):
    names = conv_layers(further.encoders[0])
    layers, rectify = pairs_study.unit_layers(further.encoders[0], names)
    fits(21, further.inserted(further.pairs[0], layers, tuned=names[-1], rectify=rectify, n_images=2))


def test_classes_need_labels(further):
    pool = dataclasses.replace(further.study.pool, labels=None)
    blind = dataclasses.replace(further, study=dataclasses.replace(further.study, pool=pool))
    with pytest.raises(ValueError, match="needs labels"):
        blind.member_labels()
