"""A source crop takes over the target's colours and spectrum, and its edges stay where they are."""

from collections.abc import Callable
from typing import Final, Protocol

import cv2
import numpy as np
import pytest
from jaxtyping import Float64, UInt8

from train.restyle import Restyle, in_colours_of, with_spectrum_of

SIDE_PX: Final = 256


class Effect(Protocol):
    """One of the two styles."""

    def __call__(
        self,
        source: UInt8[np.ndarray, "side side 3"],
        target: UInt8[np.ndarray, "side side 3"],
        *,
        share: float,
    ) -> UInt8[np.ndarray, "side side 3"]:
        """Take over so much of it."""
        ...


EFFECTS: Final[list[Effect]] = [in_colours_of, with_spectrum_of]
both = pytest.mark.parametrize("effect", EFFECTS)


def scene(seed: int) -> UInt8[np.ndarray, "side side 3"]:
    """Return overlapping boards of colours well inside 0 to 255, slightly textured, as if lit."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIDE_PX, SIDE_PX, 3), 128.0)
    for _ in range(60):
        x, y = rng.integers(-20, SIDE_PX, 2)
        width, height = rng.integers(10, 90, 2)
        colour = rng.uniform(75, 180) + rng.uniform(-20, 20, 3)
        picture[max(y, 0) : y + height, max(x, 0) : x + width] = colour
    picture += rng.normal(0, 2, picture.shape)
    return whole(cv2.GaussianBlur(picture, (0, 0), 0.5))


def whole(picture: np.ndarray) -> UInt8[np.ndarray, "side side 3"]:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def blurred(picture: np.ndarray, sigma_px: float) -> UInt8[np.ndarray, "side side 3"]:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.uint8)


def noisy(picture: np.ndarray, levels: float) -> UInt8[np.ndarray, "side side 3"]:
    """Add noise as strong in every colour, each pixel's the same: noise of light."""
    noise = np.random.default_rng(99).normal(0, levels, picture.shape[:2])
    return whole(picture + noise[:, :, None])


def lab_statistics(picture: np.ndarray) -> Float64[np.ndarray, "2 3"]:
    """Return mean and standard deviation by the formulas of CIE 15 and IEC 61966-2-1."""
    level = picture.reshape(-1, 3) / 255
    light = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    xyz_from_rgb = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = light @ np.array(xyz_from_rgb).T / (0.9505, 1.0, 1.089)
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (xyz * 24389 / 27 + 16) / 116).T
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])
    return np.stack([lab.mean(1), lab.std(1)])


def amplitude(picture: np.ndarray, low: float, high: float) -> float:
    """Return the mean Fourier amplitude of light in a band, cycles a pixel, mirrored at the rim."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)
    mirrored = np.pad(grey, ((0, len(grey)), (0, len(grey))), mode="symmetric")
    across = np.fft.fftfreq(len(mirrored))
    radius = np.hypot(across[:, None], across)
    return float(np.abs(np.fft.fft2(mirrored))[(radius >= low) & (radius < high)].mean())


def test_a_crop_in_the_targets_colours_has_their_mean_and_spread() -> None:
    source, target = scene(1), whole(scene(2) * (0.9, 0.8, 0.6) + 20)
    before, wanted = lab_statistics(source), lab_statistics(target)
    assert np.abs(before - wanted).max() > 5
    np.testing.assert_allclose(
        lab_statistics(in_colours_of(source, target, share=1.0)), wanted, atol=0.15
    )
    half = lab_statistics(in_colours_of(source, target, share=0.5))
    np.testing.assert_allclose(half, (before + wanted) / 2, atol=0.15)


@both
def test_a_share_of_nothing_changes_nothing(effect: Effect) -> None:
    source = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3)).astype(np.uint8)
    np.testing.assert_array_equal(effect(source, scene(2), share=0.0), source)


@both
def test_a_target_of_the_same_style_changes_nothing(effect: Effect) -> None:
    np.testing.assert_array_equal(effect(scene(1), scene(1), share=1.0), scene(1))


@pytest.mark.parametrize(("sigma_px", "share"), [(0.6, 1.0), (0.9, 1.0), (0.9, 0.5)])
def test_a_blurred_target_blurs_the_source_by_as_much(sigma_px: float, share: float) -> None:
    source = scene(1)
    found = with_spectrum_of(source, blurred(source, sigma_px), share=share)
    # Shares are of the logarithm of a gain, and that of a Gaussian goes with its variance.
    expected = blurred(source, sigma_px * share**0.5)
    for low, high in [(0.02, 0.06), (0.06, 0.12), (0.12, 0.2), (0.2, 0.3)]:
        ratio = amplitude(found, low, high) / amplitude(expected, low, high)
        assert ratio == pytest.approx(1, abs=0.03), (low, high)
    assert np.abs(found.astype(float) - expected).mean() < 0.3


def test_the_blur_of_another_scene_comes_over_without_what_it_shows() -> None:
    source, target = scene(1), blurred(scene(2), 1.0)
    found = with_spectrum_of(source, target, share=1.0)
    for low, high in [(0.12, 0.2), (0.2, 0.3)]:
        assert amplitude(source, low, high) > 1.3 * amplitude(target, low, high)
        ratio = amplitude(found, low, high) / amplitude(target, low, high)
        assert ratio == pytest.approx(1, abs=0.04), (low, high)
    np.testing.assert_allclose(found.mean((0, 1)), source.mean((0, 1)), atol=0.2)
    centred = [picture.astype(float) - picture.mean() for picture in (found, source, target)]
    of_source, of_target = (
        np.corrcoef(centred[0].ravel(), other.ravel())[0, 1] for other in centred[1:]
    )
    assert of_source > 0.95
    assert abs(of_target - np.corrcoef(centred[1].ravel(), centred[2].ravel())[0, 1]) < 0.05


def test_a_noisy_target_brings_as_much_energy_at_high_frequencies() -> None:
    source, target = blurred(scene(1), 0.5), noisy(blurred(scene(2), 0.5), 3.0)
    found = with_spectrum_of(source, target, share=1.0)
    for low, high in [(0.25, 0.35), (0.35, 0.5)]:
        assert amplitude(target, low, high) > 1.8 * amplitude(source, low, high)
        ratio = amplitude(found, low, high) / amplitude(target, low, high)
        assert ratio == pytest.approx(1, abs=0.04), (low, high)


def test_coarse_colour_comes_over_though_light_is_sharp() -> None:
    light, red, blue = cv2.split(cv2.cvtColor(scene(2), cv2.COLOR_RGB2YCrCb))
    coarse = cv2.merge([light, cv2.GaussianBlur(red, (0, 0), 2), cv2.GaussianBlur(blue, (0, 0), 2)])
    target = np.asarray(cv2.cvtColor(coarse, cv2.COLOR_YCrCb2RGB), np.uint8)
    source = scene(1)
    found = with_spectrum_of(source, target, share=1.0)
    light_kept, *colour_kept = (
        cv2.Laplacian(plane, cv2.CV_64F).std() / cv2.Laplacian(was, cv2.CV_64F).std()
        for plane, was in zip(
            cv2.split(cv2.cvtColor(found, cv2.COLOR_RGB2YCrCb)),
            cv2.split(cv2.cvtColor(source, cv2.COLOR_RGB2YCrCb)),
            strict=True,
        )
    )
    assert light_kept > 0.85
    assert max(colour_kept) < 0.6


@both
@pytest.mark.parametrize("change", [lambda x: blurred(x, 1.2), lambda x: noisy(x, 5.0)])
def test_edges_stay_where_they_are(
    effect: Effect, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    source = scene(1)
    found = effect(source, change(scene(2)), share=1.0)
    (x, y), response = cv2.phaseCorrelate(
        cv2.cvtColor(source, cv2.COLOR_RGB2GRAY).astype(np.float64),
        cv2.cvtColor(found, cv2.COLOR_RGB2GRAY).astype(np.float64),
        np.outer(np.hanning(SIDE_PX), np.hanning(SIDE_PX)),
    )
    assert max(abs(x), abs(y)) < 0.05
    assert response > 0.5


def test_one_rim_does_not_shine_through_at_the_other() -> None:
    light = np.linspace(-70, 70, SIDE_PX)[None, :, None]
    source = whole(scene(1) * 0.5 + 64 + light)
    expected = blurred(source, 1.2).astype(float)
    found = with_spectrum_of(source, blurred(source, 1.2), share=1.0)
    # What ran round the crop would pull the dark rim up and the bright one down.
    for column in (0, -1):
        assert (found - expected)[:, column].mean() == pytest.approx(0, abs=0.5)


@both
def test_levels_end_at_black_and_white(effect: Effect) -> None:
    across = np.arange(SIDE_PX)[None, :, None] * np.ones((SIDE_PX, 1, 3))
    source = blurred(whole(np.where(across < 128, 5, 250)), 1.5)
    target = noisy(np.where(across < 80, 0, 255), 40.0)
    found = effect(source, target, share=1.0)
    bright, dark = found[:, 131:140], found[:, 116:125]
    assert (bright == 255).any(), "what is tested happens"
    # Levels that ran over would come out at the other end.
    assert bright.min() > 200
    assert dark.max() < 120


@both
def test_nothing_is_made_of_a_flat_source_nor_all_lost_to_a_flat_target(effect: Effect) -> None:
    flat = np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8)
    assert np.ptp(effect(flat, scene(1), share=1.0).reshape(-1, 3), axis=0).max() <= 1
    shown = effect(scene(1), flat, share=1.0)
    assert cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY).std() > 1, "a flat target hides nobody"


def sharpness(picture: np.ndarray) -> float:
    """Return the share of fine detail, whatever the contrast."""
    return amplitude(picture, 0.2, 0.3) / amplitude(picture, 0.02, 0.06)


def test_each_style_is_drawn_by_itself_as_often_and_as_far_as_asked() -> None:
    small = slice(0, 96)
    source = scene(1)[small, small]
    target = whole(blurred(scene(2)[small, small], 2.0) * 0.5)
    restyle = Restyle(probability=0.5, largest_share=0.6)
    rng = np.random.default_rng(3)
    found = [restyle.restyled(source, target, rng) for _ in range(200)]
    start, end = (lab_statistics(x)[0, 0] for x in (source, target))
    went = np.array([(lab_statistics(x)[0, 0] - start) / (end - start) for x in found])
    recoloured = went > 0.01
    softened = np.array([sharpness(x) for x in found]) < 0.97 * sharpness(source)
    assert recoloured.mean() == pytest.approx(0.5, abs=0.1)
    assert softened.mean() == pytest.approx(0.5, abs=0.1)
    assert (recoloured & softened).mean() == pytest.approx(0.25, abs=0.08)
    assert went[recoloured].max() == pytest.approx(0.6, abs=0.03)
    assert went[recoloured].mean() == pytest.approx(0.3, abs=0.06)


def test_what_is_drawn_depends_on_the_generator_alone() -> None:
    restyle = Restyle(probability=0.7, largest_share=1.0)
    once, again, other = (
        [restyle.restyled(scene(1), noisy(scene(2), 4.0), rng) for _ in range(4)]
        for rng in map(np.random.default_rng, (5, 5, 6))
    )
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    assert not np.array_equal(once[0], once[1])


def test_nothing_drawn_leaves_the_very_source() -> None:
    source = scene(1)
    never = Restyle(probability=0.0, largest_share=1.0)
    assert never.restyled(source, scene(2), np.random.default_rng(0)) is source


@both
def test_planes_seen_as_pixels_serve_and_are_not_written_to(effect: Effect) -> None:
    source, target = scene(1), scene(2)
    views = [
        np.ascontiguousarray(x.transpose(2, 0, 1)).transpose(1, 2, 0) for x in (source, target)
    ]
    for view in views:
        view.flags.writeable = False
    np.testing.assert_array_equal(effect(*views, share=0.5), effect(source, target, share=0.5))
