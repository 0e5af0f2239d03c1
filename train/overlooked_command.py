"""`python -m train overlooked`: box people whose heads were drawn and whom no teacher boxed.

In: folders from `train label` and a bundle.  Out: a small file beside every shard of labels, from
which `train detector` learns; a second run goes on where the first one stopped.
"""

import argparse
from pathlib import Path

from tqdm import tqdm

from edge_pose.bundle import open_bundle
from edge_pose.engines.onnx import OnnxEngine
from train.label_cache import shards_of
from train.label_shard import overlooked_by, read_shard, write_overlooked
from train.overlooked import find_overlooked


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--real", type=Path, nargs="+", required=True, help="labelled folders")
    parser.add_argument("--bundle", type=Path, help="whose pose network looks; the one that ships")


def main(arguments: argparse.Namespace) -> None:
    """Look at what was not looked at by this network, and tell how many it found."""
    bundle = open_bundle(arguments.bundle)
    network = bundle.manifest.sha256["pose.onnx"]
    engine = OnnxEngine(bundle.path_of("pose"))
    shards = [shard for folder in arguments.real for shard in shards_of(folder)]
    for shard in tqdm(shards, unit="shard"):
        if overlooked_by(shard) != network:
            boxes = [find_overlooked(bundle, engine, image) for image in read_shard(shard)]
            write_overlooked(shard, boxes, network=network)
    found = [len(image.overlooked_px) for shard in shards for image in read_shard(shard)]
    print(f"{sum(found)} people in {len(found)} pictures had been overlooked")
