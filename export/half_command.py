"""`python -m export half`: the pose network of a bundle in half precision, and what that costs.

In: a bundle, folders to choose layers by, folders of people held out that judge.  Out, in one
folder: `pose.fp16.onnx` for TensorRT, `judged.json` (which crops) and `half.json`: which layers
stay in single precision, and pixels and millimetres for every joint.  ONNX Runtime has no kernels
for halves here: it rounds every map that a layer writes and computes in single precision, which is
what TensorRT does at its worst, where it fuses nothing.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import onnx

from edge_pose.bundle import open_bundle
from edge_pose.errors import ConfigError
from export.calibration import draw
from export.half import halved
from export.parity import Tolerance, differences
from export.quantise import fold
from export.sensitivity import (
    Judge,
    LayerCost,
    answers_in,
    judge_by,
    last_that_holds,
    multiplications,
)
from export.storage import store_exact_halves

FILE: Final = "pose.fp16.onnx"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--bundle", type=Path, help="bundle folder; the one that ships, if left out"
    )
    parser.add_argument(
        "--choose", type=Path, nargs="+", required=True, help="folders of train synth or label"
    )
    parser.add_argument("--crops", type=int, default=48, help="crops a layer is tried on")
    parser.add_argument(
        "--judge", type=Path, nargs="+", required=True, help="folders of people held out"
    )
    parser.add_argument("--most", type=int, default=600, help="crops that judge")
    parser.add_argument("--limit-px", type=float, default=0.1, help="mean distance halves may cost")
    parser.add_argument("--limit-mm", type=float, default=1.0, help="mean distance halves may cost")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")


def main(arguments: argparse.Namespace) -> None:
    """Choose, write and report."""
    if min(arguments.limit_px, arguments.limit_mm) <= 0:
        raise ConfigError("--limit-px and --limit-mm must be above 0; give distances")
    bundle = open_bundle(arguments.bundle)
    network = bundle.manifest.networks.pose
    single = fold(bundle.path_of("pose"))
    tried = draw("choosing", arguments.choose, most=arguments.crops).pictures
    judge = judge_by(answers_in(single, network, tried), network, tried, run_as=lambda model: model)
    costs = costs_of_halves(single, judge)
    limit = Tolerance(px=arguments.limit_px, mm=arguments.limit_mm)
    whole = stay_whole(single, costs, judge, limit)
    form = halved(single, whole)

    judged = draw("judged", arguments.judge, most=arguments.most, held_out=True)
    found = differences(
        answers_in(single, network, judged.pictures), answers_in(form, network, judged.pictures)
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    store_exact_halves(form)
    onnx.save(form, arguments.out / FILE)
    judged.names.write(arguments.out / "judged.json")
    table = {
        "in single precision": list(whole),
        "judged": judged.names.sha256,
        "crops": len(judged.crops),
        "mm": float(found.mm.mean()),
        "px": float(found.px.mean()),
        "mm by joint": found.mm.mean(axis=0).tolist(),
        "px by joint": found.px.mean(axis=0).tolist(),
        "layers": [asdict(cost) for cost in costs],
    }
    (arguments.out / "half.json").write_text(json.dumps(table, indent=1) + "\n")
    print(
        f"{arguments.out / FILE}: {len(costs) - len(whole)} of {len(costs)} layers in halves; "
        f"joints move by {found.mm.mean():.2f} mm and {found.px.mean():.2f} px in the mean, the "
        f"worst joint by {found.mm.mean(axis=0).max():.2f} mm, on {len(judged.crops)} crops"
    )


def costs_of_halves(single: onnx.ModelProto, judge: Judge) -> tuple[LayerCost, ...]:
    """Measure every layer by itself in halves, all others in single precision, as they run."""
    counts = multiplications(single)
    layers = [node.name for node in single.graph.node if node.op_type == "Conv"]
    return tuple(
        LayerCost(
            layer=layer,
            multiplications=counts[layer],
            cost=judge(halved(single, [other for other in layers if other != layer])),
        )
        for layer in layers
    )


def stay_whole(
    single: onnx.ModelProto, costs: Sequence[LayerCost], judge: Judge, limit: Tolerance
) -> tuple[str, ...]:
    """Choose the fewest layers to leave in single precision so that the rest keeps a limit.

    First those whose error, squared as errors add up, is largest for the multiplications that
    halves would save.
    """
    dearest = sorted(
        costs, key=lambda cost: -(cost.cost.share_of(limit) ** 2) / cost.multiplications
    )

    def first(count: int) -> tuple[str, ...]:
        return tuple(cost.layer for cost in dearest[:count])

    def keeps(count: int) -> bool:
        return judge(halved(single, first(count))).share_of(limit) <= 1.0

    chosen = set(first(last_that_holds(len(dearest), -1, keeps)))
    return tuple(cost.layer for cost in costs if cost.layer in chosen)
