"""SSLMem from alignment losses: the formula, its normalisations, random-subset references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.memorization import sslmem_from_alignment, sslmem_from_subsets
from trustlib.memorization.scores import score_slopes

losses = st.lists(st.floats(0.01, 10), min_size=3, max_size=8)


def test_scores_by_hand():
    f, g = [1.0, 2.0, 4.0], [3.0, 2.0, 2.0]
    # m = (2, 0, -2); range 4; sums 4, 4, 6; g/3 - f/4 = (3/4, 1/6, -1/3), divided by 3/4
    assert sslmem_from_alignment(f, g).tolist() == [2, 0, -2]
    assert sslmem_from_alignment(f, g, normalization="range").tolist() == [0.5, 0, -0.5]
    assert sslmem_from_alignment(f, g, normalization="ratio") == pytest.approx([0.5, 0, -1 / 3])
    assert sslmem_from_alignment(f, g, normalization="maxmax") == pytest.approx([1, 2 / 9, -4 / 9])


def test_range_is_not_bounded_when_all_scores_have_one_sign():
    # m = (1, 1.1): divided by 0.1
    assert sslmem_from_alignment([0, 0], [1, 1.1], normalization="range") == pytest.approx([10, 11])


def test_ratio_of_a_point_aligned_perfectly_by_both_is_zero():
    assert sslmem_from_alignment([0.0, 1.0], [0.0, 3.0], normalization="ratio").tolist() == [0, 0.5]


def test_runs_are_averaged_before_normalising():
    # f = mean(1, 3) = 2, g = 6: (6 - 2) / 8, not the mean of 5/7 and 3/9
    assert sslmem_from_alignment([[1.0], [3.0]], [6.0], normalization="ratio").tolist() == [0.5]


@given(losses, st.floats(0.1, 10), st.randoms())
def test_ratio_is_antisymmetric_bounded_and_scale_free(values, scale, random):
    f = np.array(values)
    g = np.array(random.sample(values, len(values)))
    ratio = sslmem_from_alignment(f, g, normalization="ratio")
    np.testing.assert_allclose(ratio, -sslmem_from_alignment(g, f, normalization="ratio"), atol=1e-15)
    np.testing.assert_allclose(ratio, sslmem_from_alignment(scale * f, scale * g, normalization="ratio"))
    assert np.abs(ratio).max() <= 1
    # reading aid: L_f / L_g = (1 - m) / (1 + m)
    np.testing.assert_allclose((1 - ratio) / (1 + ratio), f / g)


@given(losses, st.sampled_from(["none", "range", "ratio", "maxmax"]))
def test_slopes_are_the_derivatives_of_the_score(values, normalization):
    f, g = np.array(values), np.array(values[::-1]) + np.linspace(0.5, 1, len(values))
    g[0] = g.max() * 1.5
    f[0], f[1] = 0.01, f.max() + 1  # point 0 scores highest, so that no divisor is 0
    step = 1e-6
    slope_f, slope_g = score_slopes(f, g, normalization=normalization)
    base = sslmem_from_alignment(f, g, normalization=normalization)
    m = g - f
    pooled = {"none": 1.0, "range": m.max() - m.min(), "ratio": None, "maxmax": None}[normalization]
    if pooled:
        np.testing.assert_allclose(slope_f, -1 / pooled)
        np.testing.assert_allclose(slope_g, 1 / pooled)
    elif normalization == "ratio":
        moved = sslmem_from_alignment(f + step, g, normalization="ratio")
        np.testing.assert_allclose((moved - base) / step, slope_f, atol=1e-3, rtol=1e-3)
        moved = sslmem_from_alignment(f, g + step, normalization="ratio")
        np.testing.assert_allclose((moved - base) / step, slope_g, atol=1e-3, rtol=1e-3)
    else:
        np.testing.assert_allclose(slope_f * f + slope_g * g, base, atol=1e-12)  # linear in (f, g)


@pytest.mark.parametrize(
    ("f", "g", "normalization", "words"),
    [
        ([1.0, 2.0], [2.0, 3.0], "range", "constant scores"),
        ([1.0, 2.0], [2.0], "none", "same points"),
        ([-1.0], [2.0], "none", "must be >= 0"),
        ([np.nan], [2.0], "none", "1 non-finite"),
        ([1.0], [2.0], "z", "must be one of none, range, ratio, maxmax"),
        ([1.0], [1.0], "maxmax", "not positive"),
        ([0.0], [1.0], "maxmax", "is 0 for f or g"),
        ([], [], "none", "n >= 1"),
    ],
)
def test_scores_refuse(f, g, normalization, words):
    with pytest.raises(ValueError, match=words):
        sslmem_from_alignment(f, g, normalization=normalization)


def test_subset_scores_by_hand():
    align = np.array([[1.0, 4.0], [2.0, 5.0], [5.0, 1.0], [8.0, 2.0]])
    member = np.array([[True, False], [True, False], [False, True], [False, True]])
    result = sslmem_from_subsets(align, member)
    # point 0: out (5, 8) mean 6.5, in (1, 2) mean 1.5; variances 4.5 and 0.5, each over 2
    assert result.scores.tolist() == [5.0, 3.0]
    assert result.standard_error[0] == pytest.approx(np.sqrt(4.5 / 2 + 0.5 / 2))
    assert result.n_in.tolist() == [2, 2]


def test_subset_scores_recover_a_planted_effect_and_its_error():
    rng = np.random.default_rng(0)
    member = np.stack([rng.permutation(np.arange(400) % 2 == 0) for _ in range(40)])
    align = rng.normal(1.0, 0.2, member.shape) - 0.3 * member
    result = sslmem_from_subsets(align, member)
    z = (result.scores - 0.3) / result.standard_error
    assert abs(z.mean()) < 4 / np.sqrt(400)
    assert abs(z.std() - 1) < 4 * 1.05 / np.sqrt(800)  # t with ~38 degrees of freedom: sd 1.03


def test_subset_scores_have_no_error_for_single_encoders():
    result = sslmem_from_subsets([[1.0], [2.0]], [[True], [False]])
    assert result.scores.tolist() == [1.0]
    assert np.isnan(result.standard_error).all()


def test_subset_scores_refuse():
    with pytest.raises(ValueError, match="1 of 2 points are in all or in none"):
        sslmem_from_subsets([[1.0, 1.0], [1.0, 1.0]], [[True, True], [True, False]])
    with pytest.raises(ValueError, match="must share one shape"):
        sslmem_from_subsets([[1.0]], [[1]])
    with pytest.raises(ValueError, match="non-finite"):
        sslmem_from_subsets([[np.inf], [1.0]], [[True], [False]])
