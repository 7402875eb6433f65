"""Studies of units and interventions: hand-made responses, tiny networks, and the claims they are made for."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from trustlib.claims import check, load_claims
from trustlib.encoders import augmentation
from trustlib.memorization import unitmem
from trustlib.memorization.insertion_evidence import insertion
from trustlib.memorization.intervention_evidence import (
    ProbeData,
    drop_replicates,
    fine_tuning,
    pruning,
    replacement,
)
from trustlib.memorization.unit_class_evidence import class_restriction, points_and_classes
from trustlib.memorization.unit_evidence import (
    augmentation_average,
    common_layers,
    high_units,
    owners,
    size_dependence,
)
from trustlib.memorization.unit_responses import (
    UnitResponses,
    clean_responses,
    unit_gallery,
    unit_responses,
    untrained_copy,
)

KINDS = ("members", "redrawn", "clean", "heldout", "heldout_clean", "untrained", "untrained_heldout")
LAYERS = ("1", "3", "5")


def responses(**kinds):
    """Hand-made responses of one layer "a"; what is not given is flat."""
    shape = np.shape(next(iter(kinds.values())))
    flat = {name: {"a": np.ones(shape)} for name in KINDS}
    return UnitResponses(
        **(flat | {name: {"a": np.array(rows, float)} for name, rows in kinds.items()}), n_views=1
    )


def exponential(seed, n=64, units=5):
    """Responses of eight layers of unrelated exponential draws."""
    rng = np.random.default_rng(seed)
    return UnitResponses(
        **{kind: {str(k): rng.standard_exponential((n, units)) for k in range(8)} for kind in KINDS},
        n_views=2,
    )


def net(seed=0):
    """Three small convolutions with ReLU, read at layers 1, 3 and 5, and their mean."""
    widths = (3, 6, 6, 6)
    layers = [m for a, b in itertools.pairwise(widths) for m in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def images(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8, generator=generator)


def coloured(n, seed=0):
    """Images of two classes: more red, or more blue."""
    labels = np.arange(n) % 2
    x = images(n, seed).float() / 510
    x[torch.arange(n), torch.as_tensor(2 * labels)] += 0.4
    return x, labels


def accepted(claim_id, found):
    """The claim decides on the samples and controls; nothing is missing or left over."""
    result = check(claim_id, found.samples, controls=found.controls)
    claim = load_claims()[claim_id]
    assert set(found.samples) == {part.name for part in claim.parts}
    assert set(found.controls) == {control.name for control in claim.controls}
    return {part.part.name: part for part in result.parts}


# ------------------------------------------------------------------------------------------------------- responses


def test_responses_equal_unitmem_of_the_library_and_repeat():
    encoder, seen, unseen, weak = net(), images(6), images(6, 1), augmentation("weak")
    found = unit_responses(encoder, seen, unseen, weak, LAYERS, n_views=3, seed=4)
    again = unit_responses(encoder, seen, unseen, weak, LAYERS, n_views=3, seed=4, batch_size=5)
    oracle = unitmem(encoder, seen.float() / 255, weak, LAYERS, n_views=3, seed=4)
    table = high_units([found]).table.query("points == 'members'").set_index("layer")
    for layer in LAYERS:
        # another batch size changes the order of float32 sums only
        np.testing.assert_allclose(found.members[layer], again.members[layer], rtol=1e-4, atol=1e-6)
        assert table.loc[layer, "mean"] == pytest.approx(oracle[layer].scores.mean(), rel=1e-6)
        assert not np.allclose(found.members[layer], found.redrawn[layer])
    plain = encoder[:2](seen.float() / 255).mean(dim=(2, 3)).detach().numpy()
    np.testing.assert_allclose(found.clean["1"], plain, rtol=1e-5)
    np.testing.assert_allclose(clean_responses(encoder, seen, ["1"])["1"], plain, rtol=1e-5)


def test_untrained_copy_draws_new_weights_and_calibrates_the_normalisation():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    before, state = copy.deepcopy(encoder.state_dict()), torch.random.get_rng_state()
    fresh = untrained_copy(encoder, images(20), seed=3, batch_size=20)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(before[key], value) for key, value in encoder.state_dict().items())
    assert not torch.equal(fresh[0].weight, encoder[0].weight)
    assert torch.equal(untrained_copy(encoder, images(20), seed=3)[0].weight, fresh[0].weight)
    # calibrated on one batch, the normalised responses to it have mean 0 and variance 1 (up to n / (n - 1) and eps)
    out = fresh[:2](images(20).float() / 255)
    assert out.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (out.var(dim=(0, 2, 3)) - 1).abs().max() < 0.01
    assert not fresh.training
    assert fresh[1].momentum == encoder[1].momentum


def test_responses_refuse_unequal_sets_and_modules_that_cannot_be_reset():
    with pytest.raises(ValueError, match="as many held-out images as members, at least 2, got 3 and 4"):
        unit_responses(net(), images(4), images(3), augmentation("weak"), LAYERS)
    with pytest.raises(ValueError, match="heldout must hold the layers and shapes of members"):
        UnitResponses(
            **{kind: {"a": np.ones((2, 1))} for kind in KINDS} | {"heldout": {"a": np.ones((3, 1))}},
            n_views=1,
        )
    with pytest.raises(ValueError, match="at least one layer"):
        UnitResponses(*[{}] * 7, n_views=1)

    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return x * self.weight

    with pytest.raises(ValueError, match=r"module '0' \(Scale\) .* has no reset_parameters"):
        untrained_copy(nn.Sequential(Scale()), images(2), seed=0)
    with pytest.raises(TypeError, match="images must be uint8 or floating point"):
        untrained_copy(net(), torch.ones(2, 3, 8, 8, dtype=torch.int64), seed=0)
    with pytest.raises(ValueError, match="needs the responses of at least one encoder"):
        common_layers([])
    with pytest.raises(ValueError, match="encoder 1 has layers"):
        high_units([responses(members=[[1.0], [2.0]]), exponential(0, n=2)])


def test_gallery_lists_favourites_best_first():
    found = responses(members=[[1, 9], [5, 1], [2, 2]], heldout=[[3, 1], [1, 4], [2, 2]])
    # UnitMem: unit 0 (5 - 1.5) / 6.5 = .538, unit 1 (9 - 1.5) / 10.5 = .714
    gallery = unit_gallery(found, n_units=2, k=2)
    assert gallery.units.tolist() == [1, 0]
    np.testing.assert_allclose(gallery.unitmem, [7.5 / 10.5, 3.5 / 6.5])
    assert gallery.members.tolist() == [[0, 2], [1, 2]]
    assert gallery.heldout.tolist() == [[1, 2], [0, 2]]
    assert gallery.member_response.tolist() == [[9, 2], [5, 2]]
    with pytest.raises(ValueError, match="k must be in 1 to 3"):
        unit_gallery(found, k=4)
    with pytest.raises(ValueError, match="units must be indices in 0 to 1"):
        unit_gallery(found, units=[2], k=1)
    with pytest.raises(ValueError, match="unknown layer 'b'; there are a"):
        unit_gallery(found, layer="b")


# ----------------------------------------------------------------------------------------------------------- units


def test_high_units_and_the_difference_to_held_out_by_hand():
    # members: (9.5 - .5) / 10 = .9 > .8; held-out (3 - 1) / 4 = .5; untrained 0 and (2 - 1) / 3
    found = responses(members=[[9.5], [0.5]], heldout=[[3], [1]], untrained_heldout=[[2], [1]])
    evidence = high_units([found, found])
    assert evidence.samples["layers_with_high_units"].tolist() == [1.0]
    np.testing.assert_allclose(evidence.samples["beyond_held_out"], [0.4, 0.4])
    np.testing.assert_allclose(evidence.controls["untrained"], [-1 / 3, -1 / 3])
    # one encoder without a high unit, and the layer no longer counts
    low = responses(members=[[3], [1]])
    assert high_units([found, low]).samples["layers_with_high_units"].tolist() == [0.0]
    row = evidence.table.query("encoder == 0 and points == 'members'").iloc[0]
    assert (row["largest"], row["share_high"], row["dead"], row["n"]) == (pytest.approx(0.9), 1.0, 0.0, 2)
    with pytest.raises(ValueError, match="threshold must be in"):
        high_units([found], threshold=1.0)


def test_high_units_finds_planted_memorization_and_the_claim_decides():
    found = []
    for seed in range(3):
        clean = exponential(seed)
        members = {layer: rows.copy() for layer, rows in clean.members.items()}
        for rows in members.values():
            rows[np.arange(5), np.arange(5)] = 60.0  # every unit has one training point of its own
        found.append(UnitResponses(**{k: getattr(clean, k) for k in KINDS} | {"members": members}, n_views=2))
    parts = accepted("memorization-18", high_units(found))
    assert {part.verdict for part in parts.values()} == {"supported"}
    assert all(control.failed for part in parts.values() for control in part.controls)
    null = accepted("memorization-18", high_units([exponential(seed) for seed in range(3)]))
    assert null["beyond_held_out"].verdict != "supported"


def test_owners_agree_with_scipy_and_fall_to_nothing_for_unrelated_scores():
    found, rng = [exponential(seed, units=40) for seed in range(3)], np.random.default_rng(0)
    scores = [rng.normal(size=64) for _ in found]
    evidence = owners(found, scores, layer="3", n_permutations=200)
    rows = found[0].members["3"]
    top = rows.max(axis=0)
    rest = (rows.sum(axis=0) - top) / 63
    oracle = stats.spearmanr((top - rest) / (top + rest), scores[0][rows.argmax(axis=0)]).statistic
    row = evidence.table.query("encoder == 0 and layer == '3'").iloc[0]
    assert row["correlation"] == pytest.approx(oracle, abs=1e-12)
    # a rank correlation of 40 unrelated units has standard deviation 1 / sqrt(39) = .16; its mean over 200
    # permutations .011: 5 standard errors
    assert abs(row["permuted_mean"]) < 0.06
    assert row["permuted_sd"] == pytest.approx(0.16, abs=0.05)
    accepted("memorization-19", evidence)


def test_owners_find_units_that_belong_to_memorized_points():
    found, scores = [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        memorized = rng.random(64)
        rows = rng.standard_exponential((64, 30)) * 0.1 + 1.0
        owner = rng.permutation(64)[:30]
        rows[owner, np.arange(30)] = (
            3 + 10 * memorized[owner]
        )  # the more memorized, the more selective its unit
        found.append(responses(members=rows))
        scores.append(memorized)
    parts = accepted("memorization-19", owners(found, scores, n_permutations=50))
    assert parts["correlation"].verdict == "supported"
    with pytest.raises(ValueError, match=r"one SSLMem per member, shapes \[\(64,\)\], got \[\(3,\)\]"):
        owners(found[:1], [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="at least 3 units that fire, got 1 of 3"):
        owners([responses(members=[[1, 0, 0], [2, 0, 0]])], [[0.1, 0.2]])


def test_size_dependence_is_the_mean_over_disjoint_parts():
    found = [exponential(seed) for seed in range(3)]
    evidence = size_dependence(found, seed=1)
    table = evidence.table.query("encoder == 0 and points == 'members'")
    assert table["n"].tolist() == [64, 32, 16, 8, 4]
    assert (np.diff(table["unitmem"]) < 0).all()  # exponential draws: a smaller maximum over fewer points
    whole = found[0].members["7"]
    top = whole.max(axis=0)
    rest = (whole.sum(axis=0) - top) / 63
    assert table["unitmem"].iloc[0] == pytest.approx(((top - rest) / (top + rest)).mean())
    parts = accepted("memorization-23", evidence)
    assert parts["growth"].verdict == "not supported"
    flat = accepted("memorization-23", size_dependence([responses(members=np.ones((32, 2)))] * 3))
    assert flat["growth"].verdict == "supported"
    with pytest.raises(ValueError, match="at least 32 points, got 31"):
        size_dependence([responses(members=np.ones((31, 2)))])


def test_augmentation_average_by_hand_weighs_layers_by_units():
    big, small = np.array([[3.0, 3.0, 3.0], [1.0, 1.0, 1.0]]), np.array([[1.0], [1.0]])
    kinds = {name: {"a": np.ones((2, 3)), "b": small} for name in KINDS} | {"members": {"a": big, "b": small}}
    evidence = augmentation_average([UnitResponses(**kinds, n_views=1)])
    # three units at (3 - 1) / 4 and one at 0: 1.5 / 4; without views all 0
    assert evidence.samples["with_minus_without"].tolist() == [0.375]
    assert evidence.controls["two_sets_of_draws"].tolist() == [0.375]
    accepted("memorization-24", augmentation_average([exponential(s) for s in range(3)]))


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.01, 100), seed=st.integers(0, 1000))
def test_studies_do_not_change_with_the_scale_of_a_unit(scale, seed):
    one = exponential(seed, n=32, units=3)
    factor = np.array([scale, 1.0, 2.0])
    other = UnitResponses(
        **{kind: {k: v * factor for k, v in getattr(one, kind).items()} for kind in KINDS}, n_views=2
    )
    for study in (high_units, augmentation_average):
        for name, value in study([one]).samples.items():
            np.testing.assert_allclose(study([other]).samples[name], value, atol=1e-9)


# --------------------------------------------------------------------------------------------------------- classes


def test_points_and_classes_by_hand():
    labels = [0, 0, 1, 1]
    # a class unit: ClassMem (3 - 1) / 4 = .5, UnitMem: 3 against (3 + 1 + 1) / 3, (3 - 5/3) / (3 + 5/3) = 2 / 7
    concept = responses(**{kind: [[3], [3], [1], [1]] for kind in KINDS})
    # a point unit: UnitMem (7 - 1) / 8 = .75, ClassMem: means 4 and 1, 3 / 5
    point = responses(**{kind: [[7], [1], [1], [1]] for kind in KINDS})
    evidence = points_and_classes([point] * 2, [concept] * 2, [labels] * 2, [labels] * 2)
    np.testing.assert_allclose(evidence.samples["classmem_supervised"], [0.5 - 0.6] * 2)
    np.testing.assert_allclose(evidence.samples["unitmem_ssl"], [0.75 - 2 / 7] * 2)
    np.testing.assert_allclose(evidence.samples["points_over_classes"], [0.75 - 0.6])
    # class means of the point unit: 4, 4, 1, 1: UnitMem (4 - 2) / 6, ClassMem 3 / 5
    np.testing.assert_allclose(evidence.controls["class_means"], [1 / 3 - 0.6])
    assert evidence.controls["unrelated_activations"].shape == (1,)
    np.testing.assert_allclose(evidence.controls["untrained_pair"], [0.75 - 2 / 7] * 2)
    accepted("memorization-20", evidence)
    with pytest.raises(ValueError, match="need one entry per seed, got 2, 1, 2, 2"):
        points_and_classes([point] * 2, [concept], [labels] * 2, [labels] * 2)


def test_unrelated_draws_have_more_unitmem_than_classmem_so_that_part_of_the_claim_cannot_stand_alone():
    draws = [exponential(seed, n=100, units=64) for seed in range(3)]
    labels = [np.repeat(np.arange(10), 10)] * 3
    evidence = points_and_classes(draws, draws, labels, labels)
    for values in (evidence.samples["points_over_classes"], evidence.controls["unrelated_activations"]):
        assert values.shape == (8,)
        assert (values > 0.3).all()
    part = accepted("memorization-20", evidence)["points_over_classes"]
    assert {c.control.name: c.failed for c in part.controls} == {
        "class_means": True, "unrelated_activations": False,
    }  # fmt: skip


def test_class_restriction_by_hand_and_its_control():
    # class 0 holds 3 and 1, UnitMem .5; class 1 the same values, and every two points of both classes score .5 or 0
    mu = [[3], [1], [3], [1]]
    found, labels = responses(members=mu, heldout=mu), [0, 0, 1, 1]
    taught = np.array(
        [[3.0], [3.0], [1.0], [1.0]]
    )  # selective: .5 with true labels, 0 or .5 with permuted ones
    evidence = class_restriction([found], [labels], [taught], [labels], heldout_labels=[labels], seed=3)
    assert evidence.table["one_class"].tolist() == [0.5] * 4
    assert set(evidence.table["points"]) == {"members", "heldout"}
    assert set(evidence.table["all_classes"] * 16) <= set(range(9))  # a mean of eight values that are 0 or .5
    difference = evidence.table.query("points == 'members'")["difference"]
    np.testing.assert_allclose(evidence.samples["all_minus_one_class"], difference)
    # class means are 2 for both classes: no two points differ
    np.testing.assert_allclose(evidence.controls["class_means"], [0, 0], atol=1e-12)
    rng = np.random.default_rng(0)
    classes = np.arange(300) % 3
    knows = 1 + 5 * (classes[:, None] == np.arange(3)) + rng.random((300, 3))
    evidence = class_restriction([exponential(0, n=300)], [classes], [knows], [classes])
    parts = accepted("memorization-28", evidence)
    assert parts["all_minus_one_class"].controls[0].failed
    # a unit that knows the classes: 6 of 300 points in class 0 and 1 elsewhere; among points of one class all are alike
    concept = responses(members=1 + 5 * (classes[:, None] == np.arange(3)))
    evidence = class_restriction([concept], [classes], [knows], [classes])
    assert (evidence.controls["class_means"] > 0.03).all()
    # its class means are its responses; only the random choices of points differ
    np.testing.assert_allclose(
        evidence.controls["class_means"], evidence.samples["all_minus_one_class"], atol=0.01
    )
    with pytest.raises(ValueError, match="supervised_labels must fit the supervised encoders, got 0 for 1"):
        class_restriction([found], [labels], [taught], [])
    with pytest.raises(ValueError, match="needs two classes of two points, got 2 and 1"):
        class_restriction([found], [[0, 0, 0, 1]], [taught], [labels])
    with pytest.raises(ValueError, match="labels must name a class for each of the 4 points"):
        class_restriction([found], [[0, 1]], [taught], [labels])


# --------------------------------------------------------------------------------------------------- interventions


def probe(n=40):
    train, labels = coloured(n)
    test, truth = coloured(n, 1)
    return ProbeData(train, labels, test, truth)


def test_drop_replicates_reward_delta_only_where_it_explains_more_than_depth_and_size():
    size = np.array([4.0, 1.0, 6.0, 2.0, 5.0, 3.0, 8.0, 7.0])
    delta = np.array([[np.nan, 3.0, 1.0, 7.0, 2.0, 6.0, 5.0, 4.0]])
    found, null = drop_replicates(delta, delta, size, n_boot=400, seed=0)
    # the drop is the delta itself: rho = 1 in every replicate, minus a correlation below 1
    assert np.median(found) > 0.3
    assert (found >= -1e-12).all()
    assert np.quantile(null, 0.025) < 0
    depth = np.arange(8.0)[None]
    by_depth, _ = drop_replicates(depth, delta, size, n_boot=400, seed=0)
    assert (by_depth <= 1e-12).all()  # rho(drop, depth) = 1 cannot be beaten
    with pytest.raises(ValueError, match="at least 4 layers with a delta, got 3"):
        drop_replicates(depth[:, :4], delta[:, :4], size[:4], n_boot=200, seed=0)


def test_replacement_measures_every_layer_and_the_claim_decides():
    encoders, blocks = [net(0), net(1)], ["0", "2", "4"]
    deep = [nn.Sequential(*encoder, *[nn.Linear(6, 6) for _ in range(2)]) for encoder in encoders]
    blocks = [*blocks, "8", "9"]
    delta = np.array([[np.nan, 0.1, 0.3, 0.2, 0.4]] * 2)
    evidence = replacement(deep, deep[::-1], delta, blocks, probe(), n_boot=200, seed=0)
    table = evidence.table
    assert table["parameters"].tolist()[:5] == [
        168,
        330,
        330,
        42,
        42,
    ]  # 6 * 3 * 9 + 6, 6 * 6 * 9 + 6, 6 * 6 + 6
    np.testing.assert_allclose(table["drop"], table["intact"] - table["replaced"])
    assert np.isnan(table["delta"].iloc[0])
    accepted("memorization-16", evidence)
    same = replacement(deep, deep, delta, blocks, probe(), n_boot=200)
    assert (same.table["drop"] == 0).all()  # an encoder's own layers change nothing
    with pytest.raises(ValueError, match=r"shape \(2, 5\), got \(2, 3\)"):
        replacement(deep, deep, delta[:, :3], blocks, probe())
    with pytest.raises(ValueError, match="one donor per encoder and n_boot >= 200, got 1 donors for 2"):
        replacement(deep, deep[:1], delta, blocks, probe())


def test_fine_tuning_chooses_by_delta_and_pairs_by_seed():
    encoders = [net(0), net(1)]
    before = copy.deepcopy(encoders[0].state_dict())
    delta = [[np.nan, 0.3, 0.1], [np.nan, 0.1, 0.3]]
    evidence = fine_tuning(encoders, delta, ["0", "2", "4"], probe(), n_layers=1, epochs=1)
    arms = evidence.table.set_index(["seed", "arm"])
    assert arms.loc[(0, "largest delta"), "layers"] == "2"
    assert arms.loc[(1, "largest delta"), "layers"] == "4"
    assert arms.loc[(0, "last"), "layers"] == "4"
    assert arms.loc[(0, "head"), "parameters"] == 0
    assert evidence.samples["accuracy_gain"][1] == 0.0  # the same layer on both sides
    assert all(torch.equal(before[k], v) for k, v in encoders[0].state_dict().items())
    accepted("memorization-17", evidence)
    with pytest.raises(ValueError, match="n_layers must be in 1 to 2, got 3"):
        fine_tuning(encoders, delta, ["0", "2", "4"], probe(), n_layers=3)


def colour_encoder():
    """Four units: red and blue, which the classes differ in, and two that see nothing of them."""
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
        model[0].weight[0, 0] = model[0].weight[1, 2] = 1.0
        model[0].weight[2:, 1] = 1.0
    return model


@pytest.mark.parametrize("useful", ["top", "low"])
def test_pruning_hurts_where_the_useful_units_are(useful):
    encoder, data = colour_encoder(), probe()
    # planted scores: the two colour units have the highest, or the lowest UnitMem
    high, low = [9.0, 1.0, 1.0, 1.0], [1.1, 1.0, 1.0, 1.0]
    columns = [high, high, low, low] if useful == "top" else [low, low, high, high]
    found = responses(members=np.array(columns).T)
    found = UnitResponses(**{kind: {"1": getattr(found, kind)["a"]} for kind in KINDS}, n_views=1)
    evidence = pruning([encoder] * 2, [found] * 2, data, share=0.5, other_shares=(0.25,), n_random=3)
    gap = evidence.samples["low_minus_top"]
    assert (gap > 0.3).all() if useful == "top" else (gap < -0.3).all()
    accuracy = evidence.table.query("share == 0.5").groupby("arm")["accuracy"].mean()
    assert accuracy[useful] < 0.7  # nothing left that differs between the classes
    intact = evidence.table.query("arm == 'none'")["accuracy"]
    assert (intact > 0.9).all()
    assert data.accuracy(encoder) == intact.iloc[0]  # hooks are gone
    assert (evidence.table["arm"] == "random").sum() == 2 * 2 * 3
    accepted("memorization-22", evidence)
    with pytest.raises(ValueError, match="needs responses for each encoder and n_random >= 1, got 1 for 2"):
        pruning([encoder] * 2, [found], data)


@pytest.mark.parametrize("objective", ["alignment", "response"])
def test_insertion_changes_the_tuned_unit_and_nothing_before_it(objective):
    encoder, points, extra = net(2), images(8), images(2, 5)
    before = copy.deepcopy(encoder.state_dict())
    evidence = insertion(
        encoder, points, extra, augmentation("weak"), LAYERS, tuned="4", objective=objective, n_views=4, steps=5,
        learning_rate=0.05,
    )  # fmt: skip
    table = evidence.table
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())
    assert evidence.samples["earlier_units"].tolist() == [0.0, 0.0]
    assert evidence.controls["other_unit"].tolist() == [0.0, 0.0]
    assert (evidence.controls["whole_encoder"] > 1e-6).all()
    assert (np.abs(evidence.samples["tuned_unit"]) > 0).all()
    tuned = table[table["arm"].isin(["top unit", "all layers"])]
    assert (tuned["loss_after"] < tuned["loss_before"]).all()
    assert table["arm"].tolist()[:4] == ["top unit", "quiet unit", "other unit", "all layers"]
    parts = accepted("memorization-21", evidence)
    assert parts["earlier_units"].verdict == "supported"
    assert all(control.failed for part in parts.values() for control in part.controls)


def test_insertion_refuses_what_it_cannot_score():
    arguments = (net(), images(4), images(1), augmentation("weak"))
    with pytest.raises(ValueError, match="even n_views >= 2 and two layers at least, got 3 and 3"):
        insertion(*arguments, LAYERS, tuned="4", n_views=3)
    with pytest.raises(ValueError, match="got 2 and 1"):
        insertion(*arguments, LAYERS[:1], tuned="0", n_views=2)
    with pytest.raises(ValueError, match="objective must be one of alignment, response, got 'loss'"):
        insertion(*arguments, LAYERS, tuned="4", objective="loss")
