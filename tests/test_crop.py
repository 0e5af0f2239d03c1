"""Squares and letterboxes: where pixels come from, what lies outside, and no moire from 4K."""

import numpy as np
import pytest

from edge_pose.crop import apply_affine, letterbox, take_crop
from edge_pose.region import Region, region_of_box


def ramps(width: int, height: int) -> np.ndarray:
    """Every pixel holds its own place: column in channel 0, row in channel 1."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width) * 255 // (width - 1)
    image[..., 1] = (np.arange(height) * 255 // (height - 1))[:, None]
    return image


def box(*corners: float) -> np.ndarray:
    return np.array(corners, np.float32)


def test_the_side_is_the_longer_side_of_the_box_and_a_quarter() -> None:
    crop = take_crop(ramps(640, 480), region_of_box(box(100, 100, 150, 300)))
    assert crop.image_from_crop[0, 0] * 256 == pytest.approx(1.25 * 200)
    middle = apply_affine(crop.image_from_crop, np.array([[127.5, 127.5]], np.float32))
    np.testing.assert_allclose(middle, [[125.0, 200.0]], atol=1e-4)


def test_a_crop_of_its_own_size_is_the_frame_itself() -> None:
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    crop = take_crop(image, Region(centre_px=(20 + 127.5, 20 + 127.5), side_px=256.0))
    np.testing.assert_array_equal(crop.image, image[20:276, 20:276])


@pytest.mark.parametrize("length", [60.0, 150.0, 400.0, 1700.0])
def test_crop_pixels_come_from_where_the_affine_says(length: float) -> None:
    image = np.zeros((2160, 3840, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, 3840)
    image[..., 1] = np.linspace(0, 255, 2160)[:, None]
    crop = take_crop(image, region_of_box(box(1500, 1000 - length / 2, 1550, 1000 + length / 2)))
    grid = np.stack(np.meshgrid(np.arange(20, 236, 24), np.arange(20, 236, 24)), -1)
    places = apply_affine(crop.image_from_crop, grid.astype(np.float32))
    inside = ((places >= 4) & (places <= (3835, 2155))).all(axis=-1)
    found = crop.image[grid[..., 1], grid[..., 0], :2][inside].astype(float)
    np.testing.assert_allclose(found, places[inside] / (3839, 2159) * 255, atol=1.1)


@pytest.mark.parametrize("side_px", [200.0, 900.0])
def test_a_turned_crop_comes_from_where_the_affine_says_and_has_its_region_s_top_above(
    side_px: float,
) -> None:
    image = np.zeros((2160, 3840, 3), np.uint8)
    image[..., 0] = np.linspace(0, 255, 3840)
    image[..., 1] = np.linspace(0, 255, 2160)[:, None]
    crop = take_crop(
        image, Region(centre_px=(1900.0, 1000.0), side_px=side_px, turn_rad=np.radians(60.0))
    )
    grid = np.stack(np.meshgrid(np.arange(20, 236, 24), np.arange(20, 236, 24)), -1)
    places = apply_affine(crop.image_from_crop, grid.astype(np.float32))
    found = crop.image[grid[..., 1], grid[..., 0], :2].astype(float)
    np.testing.assert_allclose(found, places / (3839, 2159) * 255, atol=1.1)
    top = apply_affine(crop.image_from_crop, np.array([[127.5, -0.5]], np.float32))[0]
    # Sixty degrees clockwise from up is to the right and a little up.
    away = np.array([np.sin(np.radians(60.0)), -np.cos(np.radians(60.0))]) * side_px / 2
    np.testing.assert_allclose(top, np.array([1900.0, 1000.0]) + away, atol=0.01)


def test_beyond_the_frame_its_rim_goes_on() -> None:
    image = np.full((480, 640, 3), 200, np.uint8)
    image[:, 0] = 90
    crop = take_crop(image, region_of_box(box(-100, 100, 100, 300)))
    assert (crop.image[:, :100] == 90).all()
    assert (crop.image[:, 160:] == 200).all()


@pytest.mark.parametrize("corners", [(3700, 2000, 3900, 2300), (-300, -900, 400, 900)])
def test_the_rim_of_a_large_frame_is_not_lost(corners: tuple[float, ...]) -> None:
    rim_px = 60
    image = np.full((2160, 3840, 3), 200, np.uint8)
    image[:, :rim_px] = image[:, -rim_px:] = 90
    crop = take_crop(image, region_of_box(box(*corners)))
    places = apply_affine(
        crop.image_from_crop, np.stack(np.meshgrid(*[np.arange(256.0)] * 2), -1).astype(np.float32)
    )
    doubt_px = 2 * crop.image_from_crop[0, 0]
    into = np.minimum(places[..., 0], 3839 - places[..., 0])
    assert (into < 0).any()
    assert (crop.image[into <= rim_px - doubt_px] == 90).all()
    assert (crop.image[into >= rim_px + doubt_px] == 200).all()


def test_a_fine_pattern_in_a_4k_frame_becomes_grey_and_not_moire() -> None:
    image = np.zeros((2160, 3840, 3), np.uint8)
    image[::2, ::2] = 255
    image[1::2, 1::2] = 255
    crop = take_crop(image, region_of_box(box(1000, 200, 1900, 1900)))
    inner = crop.image[40:-40, 40:-40].astype(float)
    np.testing.assert_allclose(inner, 127.5, atol=3.0)


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (3840, 2160), (100, 400)])
def test_a_letterboxed_point_returns_to_its_place(size: tuple[int, int]) -> None:
    width, height = size
    fitted = letterbox(ramps(width, height), width_px=256, height_px=192, pad_value=114.0)
    assert fitted.image.shape == (192, 256, 3)
    inner = fitted.image[..., 2] == 0
    rows, columns = np.nonzero(inner)
    corners = np.array(
        [[columns.min() - 0.5, rows.min() - 0.5], [columns.max() + 0.5, rows.max() + 0.5]],
        np.float32,
    )
    # The outer edges of the outermost pixels are the outer edges of the frame.
    np.testing.assert_allclose(
        apply_affine(fitted.image_from_input, corners),
        [[-0.5, -0.5], [width - 0.5, height - 0.5]],
        atol=1e-2,
    )
    assert (fitted.image[~inner] == 114).all()


def test_a_letterboxed_bar_is_found_where_it_was() -> None:
    image = np.zeros((480, 640, 3), np.uint8)
    image[120:361, 200:241] = 255
    fitted = letterbox(image, width_px=320, height_px=320, pad_value=0.0)
    rows, columns = np.nonzero(fitted.image[..., 0] > 127)
    corners = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]], np.float32)
    np.testing.assert_allclose(
        apply_affine(fitted.image_from_input, corners), [[200, 120], [240, 360]], atol=1.1
    )


@pytest.mark.parametrize("length", [150.0, 700.0, 1700.0])
def test_a_square_in_a_4k_frame_has_its_middle_where_the_affine_says(length: float) -> None:
    image = np.zeros((2160, 3840, 3), np.uint8)
    image[981:1022, 1491:1532] = 255
    crop = take_crop(image, region_of_box(box(1480, 1000 - length / 2, 1560, 1000 + length / 2)))
    weights = crop.image[..., 0].astype(np.float64)
    rows, columns = np.indices(weights.shape)
    middle = np.array([[(columns * weights).sum(), (rows * weights).sum()]]) / weights.sum()
    found = apply_affine(crop.image_from_crop, middle.astype(np.float32))
    np.testing.assert_allclose(found, [[1511.0, 1001.0]], atol=0.25)
