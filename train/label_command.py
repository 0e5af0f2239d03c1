"""`python -m train label`: teacher labels for one set of real pictures.

In: the kind of set and where it lies.  Out: a folder of shards (train/label_cache.py); a second
run with the same folder goes on where the first one stopped.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from edge_pose.errors import EXIT_OK, ConfigError
from train.known_sets import CLIP_SETS, STILL_SETS
from train.label_cache import INDEX_FILE
from train.labelling import MOST_PEOPLE, label_source
from train.own_footage import own_pictures, own_video
from train.presets import positive
from train.sources import Source
from train.weights import DEFAULT_CACHE

OWN_KINDS: Final = ("pictures", "video")
KINDS: Final = (*STILL_SETS, *CLIP_SETS, *OWN_KINDS)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.add_argument("kind", choices=KINDS, help="which reader to use")
    parser.add_argument("path", type=Path, help="the unpacked set, a folder of pictures or a video")
    parser.add_argument("--out", type=Path, required=True, help="folder for the labels")
    parser.add_argument("--every", type=positive, default=1, help="of a video, every n-th frame")
    parser.add_argument("--limit", type=positive, help="stop after so many pictures of the set")
    parser.add_argument(
        "--most-people", type=positive, default=MOST_PEOPLE, help="label so many a picture"
    )
    parser.add_argument(
        "--nobody",
        action="store_true",
        help="your own pictures or video show an empty place, which is worth learning from too",
    )
    parser.add_argument("--name", default="own", help="name of your own pictures or video")
    parser.add_argument("--licence", default="the user's own", help="licence of your own pictures")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="where model files lie")


def main(arguments: Namespace) -> int:
    """Label what is not labelled yet."""
    if arguments.nobody and arguments.kind not in OWN_KINDS:
        raise ConfigError(
            f"--nobody says that pictures show an empty place, and {arguments.kind} is a known set "
            f"with people in it; leave --nobody out, or name {' or '.join(OWN_KINDS)} of your own"
        )
    source = open_source(arguments)
    label_source(
        source,
        arguments.out,
        limit=arguments.limit,
        most_people=arguments.most_people,
        nobody=arguments.nobody,
        cache=arguments.cache,
    )
    print((arguments.out / INDEX_FILE).read_text(), end="")
    return EXIT_OK


def open_source(arguments: Namespace) -> Source:
    """Return the source that the command line names."""
    kind, path = arguments.kind, arguments.path
    if kind in STILL_SETS:
        return STILL_SETS[kind](path)
    if kind in CLIP_SETS:
        return CLIP_SETS[kind](path, every=arguments.every)
    if kind == "pictures":
        return own_pictures(path, name=arguments.name, licence=arguments.licence)
    return own_video(path, name=arguments.name, licence=arguments.licence, every=arguments.every)
