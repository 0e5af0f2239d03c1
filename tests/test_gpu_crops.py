"""Crops cut on the GPU: the very kernel, run on a processor, against the crops cut on the CPU.

The kernel keeps fractions where OpenCV rounds to whole grey levels: once at the end, and once at
every halving of a strong reduction.  `TOLERANCE_LEVELS` is what that may come to, and a tenth for
sums in single precision.  Kernels that are wrong in a known way must be found by it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import pytest

import kernels
from bundles import GREEN, MEAN, RED, STD, Actor, draw_people, make_bundle, pose_network
from edge_pose import camera
from edge_pose.appearance import alikeness, appearance_of, torso_of
from edge_pose.bench.ledger import Ledger
from edge_pose.bench.meters import metered
from edge_pose.bundle import Bundle, open_bundle, packaged
from edge_pose.crop import UncutCrop, sampling_of, take_crop
from edge_pose.engines import Engines, FrameEngine
from edge_pose.engines.cuda import Gpu, why_no_gpu
from edge_pose.engines.gpu_crops import CUT, PARAMETERS, SOURCE, GpuCrops, cuts_of
from edge_pose.engines.nvrtc import KernelError, compile_kernel, load_library
from edge_pose.engines.tensorrt_engine import TensorRtEngine
from edge_pose.golden import hide
from edge_pose.inference import normalise, scale_and_offset
from edge_pose.people import PoseEstimator
from edge_pose.region import Region
from edge_pose.runtime import THIS_MACHINE, Machine, open_engines
from edge_pose.skeleton import INDEX, NUM_JOINTS
from edge_pose.types import Frame, Look, Pose3D, Sampling
from gpus import BATCHES, FakeCuda, FakeTensorRt

KERNEL: Final = SOURCE.read_text(encoding="utf-8")
SPEC: Final = replace(open_bundle(packaged()).manifest.networks.pose.input, mean=MEAN, std=STD)
"""Another scale and offset for each channel, so that none can stand for another."""
SCALE, OFFSET = scale_and_offset(SPEC)
PLACE_LEVELS: Final = 0.0 if cv2.__version__ >= "5" else 7.0
"""OpenCV 4 knows places only to 1/32 of a pixel, which is much in pure noise."""
TOLERANCE_LEVELS: Final = {
    block_px: PLACE_LEVELS + levels for block_px, levels in ((1, 0.6), (2, 1.1), (4, 1.6), (8, 2.1))
}
"""By the side of the blocks that are averaged: half a level for each time that OpenCV rounds."""
SIZES: Final = ((640, 480), (1920, 1080), (3840, 2160))


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Make the hardest frame: every pixel has nothing to do with its neighbours."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def cut(
    frame: np.ndarray, samplings: Sequence[Sampling], side_px: int, source: str = KERNEL
) -> np.ndarray:
    """Run every thread of the kernel."""
    planes = np.full((len(samplings), 3, side_px, side_px), np.nan, np.float32)
    height_px, width_px, _ = frame.shape
    kernels.launch(
        source,
        (-(-side_px // 32), -(-side_px // 8), len(samplings)),
        (32, 8, 1),
        frame,
        width_px,
        height_px,
        frame.strides[0],
        cuts_of(samplings),
        side_px,
        *SCALE,
        *OFFSET,
        planes,
    )
    return planes


def off_by_levels(
    frame: np.ndarray, region: Region, side_px: int = 256, source: str = KERNEL
) -> tuple[float, int]:
    """Compare with the CPU's crop; give the largest difference in grey levels, and the block."""
    height_px, width_px, _ = frame.shape
    sampling = sampling_of(region, side_px=side_px, frame_size_px=(width_px, height_px))
    (found,) = cut(frame, [sampling], side_px, source)
    (expected,) = normalise([take_crop(frame, region, side_px=side_px).image], SPEC)
    levels = np.abs(found - expected) / np.array(SCALE, np.float32)[:, None, None]
    return float(levels.max()), sampling.block_px


@pytest.fixture(scope="module", params=SIZES, ids=str)
def frame(request: pytest.FixtureRequest) -> np.ndarray:
    return noise(*request.param)


@pytest.mark.parametrize("reduction", [0.3, 0.9, 1.0, 1.7, 2.0, 3.1, 4.0, 7.9, 8.0, 10.0])
@pytest.mark.parametrize("side_px", [256, 100])
def test_the_kernel_gives_what_the_processor_cuts(
    frame: np.ndarray, reduction: float, side_px: int
) -> None:
    draw = np.random.default_rng(round(10 * reduction) + len(frame))
    height_px, width_px, _ = frame.shape
    blocks = set()
    for turn_rad in (0.0, *draw.uniform(-np.pi, np.pi, 3)):
        # From a little outside the frame to a little outside it.
        x, y = draw.uniform(-0.1, 1.1, 2) * (width_px, height_px)
        region = Region(
            centre_px=(float(x), float(y)), side_px=reduction * side_px, turn_rad=float(turn_rad)
        )
        levels, block_px = off_by_levels(frame, region, side_px)
        blocks.add(block_px)
        assert levels <= TOLERANCE_LEVELS[block_px]
    assert blocks == {1 if reduction < 2 else 2 if reduction < 4 else 4 if reduction < 8 else 8}


@pytest.mark.parametrize("reduction", [0.5, 1.0, 5.0])
@pytest.mark.parametrize("corner", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (3.0, -2.0)])
def test_beyond_the_frame_its_rim_goes_on(reduction: float, corner: tuple[float, float]) -> None:
    frame = noise(640, 480)
    centre_px = (640 * corner[0], 480 * corner[1])
    region = Region(centre_px=centre_px, side_px=256 * reduction, turn_rad=0.3)
    levels, block_px = off_by_levels(frame, region)
    assert levels <= TOLERANCE_LEVELS[block_px]


def test_a_crop_pixel_for_pixel_is_what_normalising_gives() -> None:
    picture = noise(256, 256)
    whole = Sampling(blocks_from_crop=np.eye(2, 3), first_px=(0, 0), blocks=(256, 256), block_px=1)
    np.testing.assert_allclose(cut(picture, [whole], 256), normalise([picture], SPEC), atol=1e-6)


def test_a_golden_picture_comes_out_of_its_frame_in_every_pixel() -> None:
    picture = noise(256, 256)
    frame, hidden = hide(picture)
    np.testing.assert_allclose(cut(frame, [hidden], 256), normalise([picture], SPEC), atol=1e-6)
    (column, row), middle = (50, 200), 0.5  # of a block of two
    x, y = hidden.blocks_from_crop @ (column, row, 1.0) * 2 + hidden.first_px + middle
    np.testing.assert_array_equal(frame[int(y), int(x)], picture[row, column])


def test_rows_may_be_longer_than_the_picture() -> None:
    wide = noise(700, 480)
    region = Region(centre_px=(600.0, 300.0), side_px=300.0, turn_rad=1.0)
    sampling = sampling_of(region, side_px=256, frame_size_px=(640, 480))
    expected = cut(np.ascontiguousarray(wide[:, :640]), [sampling], 256)
    np.testing.assert_array_equal(cut(wide[:, :640], [sampling], 256), expected)


def test_the_kernel_and_its_caller_agree_on_what_a_cut_is() -> None:
    assert kernels.size_of_cut(KERNEL) == CUT.itemsize


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("out[0] = bgr[2]", "out[0] = bgr[0]"),
        ("scale_red - offset_red", "scale_red + offset_red"),
        ("= bgr[0] * scale_blue", "= bgr[1] * scale_blue"),
        ("clamped(column, cut.columns - 1)", "clamped(column, cut.columns - 2)"),
        ("clamped(row, cut.rows - 1)", "((row % cut.rows + cut.rows) % cut.rows)"),
        ("clamped(x_px, frame.width_px - 1)", "(x_px % frame.width_px)"),
        ("* (float)x + affine[1] * (float)y", "* (float)y + affine[1] * (float)x"),
        ("(float)x + affine[4]", "((float)x + 0.5f) + affine[4]"),
        ("floorf(across)", "(across + 0.0f)"),
        ("y_px < y0_px + cut.block_px", "y_px < y0_px + 1"),
    ],
)
def test_a_kernel_that_is_wrong_is_found(right: str, wrong: str) -> None:
    """Channels swapped, a rim that comes from the other side, half a pixel, and so on."""
    assert KERNEL.count(right) == 1
    source = KERNEL.replace(right, wrong)
    frame = noise(645, 483)
    regions = [
        Region(centre_px=(600.0, 440.0), side_px=256.0 * reduction, turn_rad=0.4)
        for reduction in (0.8, 5.0)
    ]
    worst = [off_by_levels(frame, region, source=source) for region in regions]
    assert any(levels > 2 * TOLERANCE_LEVELS[block_px] for levels, block_px in worst)


# Pixels of a crop that was not cut here.


@pytest.mark.parametrize("side_px", [200.0, 700.0, 2500.0])
def test_clothes_look_alike_whether_the_whole_crop_was_cut_or_only_the_torso(
    side_px: float,
) -> None:
    frame = cv2.GaussianBlur(noise(1920, 1080), (0, 0), 9.0)
    frame = np.asarray(cv2.normalize(frame, frame, 0, 255, cv2.NORM_MINMAX), np.uint8)
    region = Region(centre_px=(1000.0, 500.0), side_px=side_px, turn_rad=0.5)
    joints_px = np.full((NUM_JOINTS, 2), 128, np.float32)
    for name, place in {
        "left_shoulder": (150, 80),
        "right_shoulder": (104, 84),
        "left_hip": (144, 131),
        "right_hip": (110, 129),
    }.items():
        joints_px[INDEX[name]] = place
    torso_px = torso_of(joints_px, np.ones(NUM_JOINTS, np.float32))
    assert torso_px is not None
    crop = take_crop(frame, region)
    uncut = UncutCrop(frame_image=frame, region=region)
    assert isinstance(crop, Look)
    assert isinstance(uncut, Look)
    np.testing.assert_array_equal(uncut.image_from_crop, crop.image_from_crop)
    assert uncut.side_px == crop.side_px == 256
    pixels, begins_px = uncut.around(torso_px)
    (x, y), (rows, columns, _) = begins_px, pixels.shape
    assert rows * columns < 0.05 * 256 * 256
    window = crop.image[y : y + rows, x : x + columns]
    if side_px < 512.0:  # the same pixels, and no blocks that begin elsewhere
        assert np.abs(pixels.astype(int) - window).max() <= 1
    one = appearance_of(pixels, torso_px - np.array(begins_px, np.float32))
    assert alikeness(one, appearance_of(crop.image, torso_px)) > 0.98


def test_points_outside_the_crop_have_one_pixel_of_it() -> None:
    uncut = UncutCrop(
        frame_image=noise(640, 480), region=Region(centre_px=(300.0, 200.0), side_px=300.0)
    )
    pixels, begins_px = uncut.around(np.array([[300, 400], [310, 420]], np.float32))
    assert pixels.shape == (1, 1, 3)
    assert begins_px == (255, 255)


# The way through a GPU made of NumPy, which runs that same kernel.


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


@pytest.fixture
def gpu(cuda: FakeCuda) -> Iterator[Gpu]:
    with closing(Gpu(cuda=cuda, driver=cuda, compiler=cuda.compile)) as opened:
        yield opened


@pytest.fixture
def engine(cuda: FakeCuda, gpu: Gpu) -> Iterator[TensorRtEngine]:
    network = pose_network(64).SerializeToString()
    with closing(TensorRtEngine(FakeTensorRt(cuda), network, gpu, precision="fp16")) as opened:
        yield opened


def regions(count: int) -> list[Region]:
    draw = np.random.default_rng(count)
    return [
        Region(
            centre_px=(float(draw.uniform(0, 640)), float(draw.uniform(0, 480))),
            side_px=float(draw.uniform(40, 400)),
            turn_rad=float(draw.uniform(-3, 3)),
        )
        for _ in range(count)
    ]


def test_a_frame_goes_up_once_and_a_batch_is_one_launch(
    cuda: FakeCuda, gpu: Gpu, engine: TensorRtEngine
) -> None:
    frame = noise(640, 480)
    with closing(GpuCrops(engine, gpu, scale=SCALE, offset=OFFSET)) as crops:
        assert isinstance(crops, FrameEngine)
        crops.show(frame)
        shown, frame = frame, np.zeros_like(frame)  # the source may use its memory again
        for people in (1, 3, 11, 2):
            cuda.cuts.clear()
            looks = [
                UncutCrop(frame_image=shown, region=region, side_px=64)
                for region in regions(people)
            ]
            found = crops.run_crops([look.sampling for look in looks])
            pictures = [take_crop(shown, look.region, side_px=64).image for look in looks]
            expected = engine.run({"image": normalise(pictures, SPEC)})
            launches = [4, 4, 3] if people == 11 else [people]
            assert cuda.cuts == [(2, 8, count) for count in launches]
            assert found.keys() == expected.keys()
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, atol=2.0, err_msg=name)
        assert cuda.uploaded_bytes.count(shown.nbytes) == 1
        with pytest.raises(ValueError, match="nothing to cut"):
            crops.run_crops([])


def test_what_reaches_the_network_are_the_crops(
    cuda: FakeCuda, gpu: Gpu, engine: TensorRtEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    run_filled = engine.run_filled

    def spy(count: int, fill: Callable[..., None]) -> dict[str, np.ndarray]:
        answer = run_filled(count, fill)
        lane = engine._lanes[BATCHES[-1]]  # noqa: SLF001 - what lies on the GPU is nobody's else
        memory = cuda.memory[lane.buffers["image"].address]
        seen.append(memory.view(np.float32).reshape(-1, 3, 64, 64)[:count].copy())
        return answer

    monkeypatch.setattr(engine, "run_filled", spy)
    with closing(GpuCrops(engine, gpu, scale=SCALE, offset=OFFSET)) as crops:
        for size in ((640, 480), (320, 200), (640, 480)):
            frame = noise(*size)
            crops.show(frame)
            looks = [
                UncutCrop(frame_image=frame, region=region, side_px=64) for region in regions(4)
            ]
            crops.run_crops([look.sampling for look in looks])
            expected = normalise(
                [take_crop(frame, look.region, side_px=64).image for look in looks], SPEC
            )
            levels = np.abs(seen[-1] - expected) / np.array(SCALE, np.float32)[:, None, None]
            assert levels.max() <= TOLERANCE_LEVELS[4]


def test_everything_is_given_back_and_nothing_runs_before_a_frame_or_after_the_end(
    cuda: FakeCuda, gpu: Gpu, engine: TensorRtEngine
) -> None:
    held = len(cuda.memory)
    crops = GpuCrops(engine, gpu, scale=SCALE, offset=OFFSET)
    sampling = sampling_of(regions(1)[0], side_px=64, frame_size_px=(640, 480))
    with pytest.raises(RuntimeError, match="no frame was shown"):
        crops.run_crops([sampling])
    crops.show(noise(640, 480))
    crops.run_crops([sampling])
    crops.close()
    crops.close()
    assert len(cuda.memory) == held
    with pytest.raises(RuntimeError, match="the crops were closed"):
        crops.show(noise(640, 480))


def test_too_little_memory_or_no_compiler_gives_everything_back(
    cuda: FakeCuda, gpu: Gpu, engine: TensorRtEngine
) -> None:
    held = len(cuda.memory)
    cuda.can_compile = False
    with pytest.raises(KernelError, match="NVRTC is not here"):
        GpuCrops(engine, gpu, scale=SCALE, offset=OFFSET)
    assert len(cuda.memory) == held


# All of it: from a bundle to people.


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(make_bundle(tmp_path_factory.mktemp("stand-in")))


@dataclass
class Opened:
    """Engines of a bundle on the fake GPU, and what was told about them."""

    cuda: FakeCuda
    engines: Engines
    degraded: str | None


def opened(bundle: Bundle, stack: ExitStack, folder: Path, cuda: FakeCuda) -> Opened:
    machine = Machine(
        why_not=lambda: None,
        gpu=lambda: Gpu(cuda=cuda, driver=cuda, compiler=cuda.compile),
        tensorrt=lambda: FakeTensorRt(cuda),
    )
    carried = open_engines(bundle, stack, folder=folder, machine=machine)
    return Opened(cuda, carried.engines, carried.degraded)


def people_in(bundle: Bundle, engines: Engines) -> list[list[Pose3D]]:
    intrinsics = camera.from_angle(hfov_deg=70.0, width_px=1280, height_px=720)
    estimator = PoseEstimator(bundle, engines=engines, intrinsics_for=camera.lens(hfov_deg=70.0))
    actors = [
        Actor(root_m=(-1.8, 0.1, 4.0), colour=RED),
        Actor(root_m=(0.5, 0.0, 3.0), colour=GREEN),
    ]
    image = draw_people(actors, intrinsics)
    return [
        estimator.process(
            Frame(image=image, sequence=n, captured_ns=n * 40_000_000, captured_at_ms=0)
        )
        for n in range(3)
    ]


def test_the_same_people_come_out_whoever_cuts(bundle: Bundle, tmp_path: Path) -> None:
    with ExitStack() as stack:
        gpu = opened(bundle, stack, tmp_path, FakeCuda())
        assert gpu.degraded is None
        frames = gpu.engines.pose_in_frame
        assert frames is not None
        assert frames.description == "TensorRT 10.3.0, Orin (SM 8.7), fp32, crops cut on the GPU"
        gpu.cuda.uploaded_bytes.clear()
        gpu.cuda.cuts.clear()
        ledger = Ledger()
        found = people_in(bundle, metered(gpu.engines, ledger))
        assert gpu.cuda.uploaded_bytes.count(1280 * 720 * 3) == 3  # once a frame
        # Two first looks and one more at two new people; then one look at both in each frame.
        assert [grid[2] for grid in gpu.cuda.cuts] == [2, 2, 2, 2, 2]
        expected = people_in(bundle, replace(gpu.engines, pose_in_frame=None))
        assert ledger.rows == []
    assert not gpu.cuda.memory
    assert [len(poses) for poses in found] == [len(poses) for poses in expected] == [2, 2, 2]
    for ours, theirs in zip(chain(*found), chain(*expected), strict=True):
        assert ours.track == theirs.track
        np.testing.assert_allclose(ours.joints_px, theirs.joints_px, atol=2.5)
        np.testing.assert_allclose(ours.joints_m, theirs.joints_m, atol=0.1)


def test_without_a_compiler_the_processor_cuts_and_that_is_told_once(
    bundle: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        gpu = opened(bundle, stack, tmp_path, FakeCuda(can_compile=False))
        assert gpu.engines.pose_in_frame is None
        assert "TensorRT" in gpu.engines.pose.description
        assert gpu.degraded == "crops are cut on the CPU: NVRTC is not here"
        assert [len(poses) for poses in people_in(bundle, gpu.engines)] == [2, 2, 2]
    said = [line for line in caplog.messages if "CPU cuts" in line]
    assert said == ["The CPU cuts the crops: NVRTC is not here"]
    assert not gpu.cuda.memory


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("out[0] = bgr[2]", "out[0] = bgr[0]"),
        ("* cut.block_px;\n    const int y0_px", ";\n    const int y0_px"),
        ("affine[1] * (float)y", "affine[3] * (float)y"),
    ],
    ids=["channels", "blocks", "turn"],
)
def test_a_kernel_that_answers_wrong_gives_way_to_the_processor(
    bundle: Bundle, tmp_path: Path, right: str, wrong: str
) -> None:
    assert KERNEL.count(right) == 1

    class Wrong(FakeCuda):
        def compile(self, source: str, compute_capability: str) -> bytes:
            return super().compile(source.replace(right, wrong), compute_capability)

    with ExitStack() as stack:
        gpu = opened(bundle, stack, tmp_path, Wrong())
        assert gpu.engines.pose_in_frame is None
        assert "TensorRT" in gpu.engines.pose.description
        assert gpu.degraded is not None
        assert "crops cut on the GPU" in gpu.degraded
    assert not gpu.cuda.memory


# NVRTC itself, which needs no GPU.


class NoCompiler:
    """Stands for an NVRTC that fails at every call."""

    def __getattr__(self, _name: str) -> Callable[..., int]:
        return lambda *_: 7


def test_an_nvrtc_that_fails_is_a_sentence() -> None:
    with pytest.raises(KernelError, match=r"NVRTC does not start \(error 7\); the CPU goes on"):
        compile_kernel(KERNEL, "8.7", library=NoCompiler())


def nvrtc_is_here() -> bool:
    try:
        load_library()
    except KernelError:
        return False
    return True


@pytest.mark.skipif(not nvrtc_is_here(), reason="NVRTC is not here")
@pytest.mark.parametrize("compute_capability", ["8.7", "8.6", "11.0"])
def test_nvrtc_takes_the_kernel_and_says_what_is_wrong_with_another(
    compute_capability: str,
) -> None:
    assert compile_kernel(KERNEL, compute_capability).startswith(b"\x7fELF")
    with pytest.raises(KernelError, match=r"NVRTC cannot compile for .*: preprocess\.cu\(1\)"):
        compile_kernel("int a = b;", compute_capability)


# A GPU by itself: the one made of NumPy, and one that is here.


SIDE_PX: Final = 256


def cut_on(gpu: Gpu, frame: np.ndarray, samplings: Sequence[Sampling]) -> np.ndarray:
    """Do on the owner thread what `GpuCrops` does, and bring the crops back."""
    kernel = gpu.kernel(KERNEL, "cut_crops", PARAMETERS)
    cuts = cuts_of(samplings).view(np.uint8)
    shown, asked = gpu.buffer(frame.shape, np.uint8), gpu.buffer(cuts.shape, np.uint8)
    planes = gpu.buffer((len(samplings), 3, SIDE_PX, SIDE_PX), np.float32)
    np.copyto(shown.host, frame)
    np.copyto(asked.host, cuts)
    for buffer in (shown, asked):
        buffer.upload(gpu.stream)
    height_px, width_px, _ = frame.shape
    kernel.launch(
        (SIDE_PX // 32, SIDE_PX // 8, len(samplings)),
        (32, 8, 1),
        gpu.stream,
        shown.address,
        width_px,
        height_px,
        frame.strides[0],
        asked.address,
        SIDE_PX,
        *SCALE,
        *OFFSET,
        planes.address,
    )
    planes.download(gpu.stream)
    gpu.stream.synchronize()
    found = planes.host.copy()
    for buffer in (shown, asked, planes):
        buffer.close()
    return found


@pytest.mark.parametrize(
    "machine",
    [
        "made of NumPy",
        pytest.param(
            "here",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(why_no_gpu() is not None, reason=str(why_no_gpu())),
            ],
        ),
    ],
)
def test_a_gpu_computes_what_the_processor_does_with_the_same_kernel(machine: str) -> None:
    frame = noise(3840, 2160)
    samplings = [
        sampling_of(
            Region(centre_px=(100.0, 1900.0), side_px=reduction * SIDE_PX, turn_rad=reduction),
            side_px=SIDE_PX,
            frame_size_px=(3840, 2160),
        )
        for reduction in (0.3, 1.0, 2.5, 5.0, 9.0)
    ]
    fake = FakeCuda()
    with closing(
        THIS_MACHINE.gpu()
        if machine == "here"
        else Gpu(cuda=fake, driver=fake, compiler=fake.compile)
    ) as opened:
        found = opened.call(lambda: cut_on(opened, frame, samplings))
    expected = cut(frame, samplings, SIDE_PX)
    levels = np.abs(found - expected) / np.array(SCALE)[:, None, None]
    assert levels.max() < 0.1  # a GPU multiplies and adds without rounding in between
