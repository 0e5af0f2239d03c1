"""`python -m train inventions`: collect what a detector takes for people where there is nobody.

In: `detector.onnx` and folders from `train synth` and `train label`.  Out: one file for
`train student --inventions`.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from edge_pose.bundle import open_bundle
from edge_pose.engines.onnx import OnnxEngine
from train.detector_data import RealScenes, RenderedScenes, Scenes
from train.inventions import Square, find_inventions, write_inventions
from train.spread import spread


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--detector", type=Path, help="network, if not the one that ships")
    parser.add_argument("--rendered", type=Path, nargs="*", default=[], help="rendered folders")
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="labelled folders")
    parser.add_argument("--most", type=int, default=4000, help="pictures looked at, of each kind")
    parser.add_argument("--out", type=Path, required=True, help="file to write, .npz")


def main(arguments: argparse.Namespace) -> None:
    """Look, and write what was invented."""
    bundle = open_bundle()
    engine = OnnxEngine(arguments.detector or bundle.path_of("detector"))
    squares: list[Square] = []
    pictures = 0
    kinds: list[Scenes] = [RenderedScenes(folder) for folder in arguments.rendered]
    if arguments.real:
        kinds.append(RealScenes(arguments.real, held_out=False))
    for scenes in kinds:
        numbers = spread(len(scenes), arguments.most)
        pictures += len(numbers)
        watched = tqdm(numbers, unit="picture")
        squares += find_inventions(engine, bundle.manifest.networks.detector, scenes, watched)
    write_inventions(arguments.out, squares)
    print(f"{len(squares)} inventions in {pictures} pictures: {arguments.out}")
