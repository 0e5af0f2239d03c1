"""How fast labelled pictures are made on two cores: `python -m benchmarks.synth`.

Counts close views of 256 pixels with a new body in each, from drawing the body to the encoded
chunk, one process on each of two cores, start-up left out.  Prints the rate beside the eight a
second that are required, and the processor time per picture, which depends less on what else the
machine does.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

REQUIRED_PER_S: Final = 8.0
PROCESSES: Final = 2
FRAMES: Final = 48


def _render(seed: int) -> tuple[float, float, float, str]:
    """Render one batch: when it began, when it ended, its processor seconds, and who drew."""
    import numpy as np
    import torch

    from train.synth.anatomy import BodyModel
    from train.synth.dataset import pack_chunk
    from train.synth.frames import FramePlan, Studio, compose_frame
    from train.synth.garments import open_wardrobe
    from train.synth.renderer import Renderer
    from train.synth.site import FACTORY

    torch.set_num_threads(1)
    model = BodyModel.load()
    wardrobe = open_wardrobe(model)
    with Renderer(wardrobe) as renderer:
        studio = Studio(site=FACTORY, wardrobe=wardrobe, renderer=renderer, photos=[], size_px=256)
        rng = np.random.default_rng(seed)
        for count in (2, FRAMES):
            began, used = time.time(), time.process_time()
            bodies = model.sample_bodies(count, rng=rng)
            plans = [
                FramePlan(view="close", people=1, seed=int(rng.integers(2**63)))
                for _ in range(count)
            ]
            pack_chunk(
                [
                    compose_frame(studio, plan, [body])
                    for plan, body in zip(plans, bodies, strict=True)
                ]
            )
        return began, time.time(), time.process_time() - used, renderer.name


def main() -> None:
    """Measure and print."""
    os.environ.update(LP_NUM_THREADS="1", OMP_NUM_THREADS="1")
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        batches = list(pool.map(_render, range(PROCESSES)))
    elapsed_s = max(end for _, end, _, _ in batches) - min(began for began, _, _, _ in batches)
    rate = PROCESSES * FRAMES / elapsed_s
    used_s = sum(used for _, _, used, _ in batches) / (PROCESSES * FRAMES)
    print(f"drawn by {batches[0][3]}; load average {os.getloadavg()[0]:.1f}")
    print(
        f"{rate:.2f} pictures/s = {rate / REQUIRED_PER_S:.2f} x the required {REQUIRED_PER_S:.0f}"
    )
    print(
        f"{used_s:.3f} processor seconds a picture: two free cores would give "
        f"{PROCESSES / used_s:.1f} pictures/s = {PROCESSES / used_s / REQUIRED_PER_S:.2f} x"
    )


if __name__ == "__main__":
    main()
