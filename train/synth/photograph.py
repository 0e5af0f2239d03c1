"""From a clean rendering to what a camera of the site sends: light, lens, sensor, codec."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from train.synth.site import Site

OPEN_M = 12.0
"""Depth given to pixels that show nothing but backdrop, and the most that counts."""


def photograph(
    rng: np.random.Generator,
    site: Site,
    image: UInt8[np.ndarray, "height width 3"],
    depth_m: Float32[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Take an RGB rendering through corners' shade, exposure, colour, blur, noise and codec."""
    signal = image.astype(np.float32) / 255
    signal *= _corner_shade(rng, depth_m)[..., None]
    signal = _colour(rng, _expose(rng, site, signal))
    signal = _blur(rng, signal)
    signal = _sense(rng, site, signal)
    if rng.random() < site.mono_share:
        grey = signal @ np.array([0.3, 0.59, 0.11], np.float32)
        signal = np.repeat(grey[..., None], 3, axis=2)
    pixels = (np.clip(signal, 0, 1) * 255 + 0.5).astype(np.uint8)
    return _send(rng, site, pixels)


def _corner_shade(
    rng: np.random.Generator,
    depth_m: Float32[np.ndarray, "height width"],
) -> Float32[np.ndarray, "height width"]:
    """Darken what lies just behind a nearer edge.

    After T. Luft et al. 2006, doi 10.1145/1141911.1142016.
    """
    near_m = np.minimum(np.where(depth_m > 0, depth_m, OPEN_M), OPEN_M)
    behind_m = np.maximum(near_m - cv2.GaussianBlur(near_m, (0, 0), 0.018 * len(near_m)), 0)
    shade = np.clip(3 * behind_m / (1 + (behind_m / 0.12) ** 2), 0, 0.35)
    return (1 - shade * rng.uniform(0.3, 1)).astype(np.float32)


def _expose(
    rng: np.random.Generator,
    site: Site,
    signal: Float32[np.ndarray, "height width 3"],
) -> Float32[np.ndarray, "height width 3"]:
    """Bring the mean near what an automatic exposure wants, with its errors and its limits."""
    dark = rng.random() < site.low_light_share
    wanted = rng.uniform(0.12, 0.3) if dark else rng.uniform(0.3, 0.58)
    mean = float(np.clip(signal.mean(), 0.03, 0.9))
    power = np.clip(np.log(wanted) / np.log(mean), 0.45, 1.6) * np.exp(rng.normal(0, 0.12))
    return (signal ** np.float32(power)).astype(np.float32)


def _colour(
    rng: np.random.Generator,
    signal: Float32[np.ndarray, "height width 3"],
) -> Float32[np.ndarray, "height width 3"]:
    grey = signal.mean(axis=2, keepdims=True)
    signal = grey + (signal - grey) * np.float32(rng.uniform(0.4, 1.15))
    if rng.random() < 0.7:
        signal = signal * (1 + 0.07 * rng.standard_normal(3)).astype(np.float32)
    if rng.random() < 0.4:
        middle = np.float32(rng.uniform(0.3, 0.6))
        signal = middle + (signal - middle) * np.float32(rng.uniform(0.55, 1.25))
    return np.clip(signal, 0, 1).astype(np.float32)


def _blur(
    rng: np.random.Generator,
    signal: Float32[np.ndarray, "height width 3"],
) -> Float32[np.ndarray, "height width 3"]:
    """Lose sharpness by a small original, by the lens or by motion; some cameras sharpen after."""
    height, width = signal.shape[:2]
    scale = height / 256
    kind = rng.random()
    if kind < 0.2:
        factor = rng.uniform(0.25, 0.7)
        small = cv2.resize(signal, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        signal = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    elif kind < 0.5:
        signal = cv2.GaussianBlur(signal, (0, 0), rng.uniform(0.3, 1.3) * scale)
    elif kind < 0.65:
        reach = int(rng.integers(1, 5) * scale)
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        angle = rng.uniform(0, np.pi)
        step = np.round(reach * np.array([np.cos(angle), np.sin(angle)])).astype(int)
        middle = np.array([reach, reach])
        cv2.line(kernel, (middle - step).tolist(), (middle + step).tolist(), 1.0)
        signal = cv2.filter2D(signal, -1, kernel / kernel.sum())
    elif kind < 0.8:
        soft = cv2.GaussianBlur(signal, (0, 0), 1.2 * scale)
        signal = signal + (signal - soft) * np.float32(rng.uniform(0.3, 1.2))
    return np.clip(signal, 0, 1).astype(np.float32)


def _sense(
    rng: np.random.Generator,
    site: Site,
    signal: Float32[np.ndarray, "height width 3"],
) -> Float32[np.ndarray, "height width 3"]:
    """Add shot noise: its deviation grows with the root of the signal."""
    deviation = np.float32(rng.uniform(*site.noise))
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    return signal + noise * deviation * np.sqrt(signal + np.float32(0.05))


def _send(
    rng: np.random.Generator,
    site: Site,
    pixels: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Compress and decompress as the site's cameras do; WebP is a key frame of VP8 video."""
    if site.codec == "jpeg" and rng.random() < 0.5:
        return pixels
    extension, flag = {
        "jpeg": (".jpg", cv2.IMWRITE_JPEG_QUALITY),
        "webp": (".webp", cv2.IMWRITE_WEBP_QUALITY),
    }[site.codec]
    quality = int(rng.integers(*site.codec_quality))
    _, encoded = cv2.imencode(extension, pixels[:, :, ::-1], [flag, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[:, :, ::-1])
