"""The places that a network is trained for and measured in: folders in, people by domain out.

In: paths that a user names, made by `train synth`, by `train label`, or pictures and videos of the
user's own, which the teachers label first.  Out: people to draw from, and what a report says of
them.

Of a labelled folder of one's own the groups held out (see `train.pose_data`) are the test, unless
another is named; of a rendered one nothing is held out, so its test is another folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_pose.errors import SourceError
from train.label_cache import is_labelled, read_labels
from train.labelling import label_source
from train.own_footage import own_footage
from train.pose_data import People, RealPeople, RenderedPeople
from train.report_results import DataSet
from train.synth.dataset import is_rendered

_RENDERED_LICENCE: Final = "rendered here; anny bodies Apache-2.0 and CC0 1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """People of one place."""

    name: str
    people: People
    has_3d: bool
    data: DataSet
    folders: tuple[Path, ...]
    """What was opened."""


def source_domain(folders: Sequence[Path]) -> Domain:
    """Open the labelled source.

    Raises:
        SourceError: a folder that was not rendered.

    """
    for folder in folders:
        if not is_rendered(folder):
            raise SourceError(
                f"{folder} holds no rendered people (chunk-00000.npz …), and the source must "
                "have 3D truth; make one with `python -m train synth`"
            )
    people = RenderedPeople(*folders, with_foreground=True)
    return _domain("source", people, rendered=True, role="labelled source", folders=folders)


def target_domain(path: Path, labels: Path) -> Domain:
    """Open the target; pictures and videos nobody labelled go to the teachers first.

    Args:
        path: a folder made by `train synth` or `train label`, of pictures, or a video.
        labels: where the teachers' labels go; what is there already is not done again.

    """
    if is_rendered(path):
        people = RenderedPeople(path, with_foreground=True)
        return _domain("target", people, rendered=True, role="unlabelled target", folders=[path])
    folder = path if is_labelled(path) else label(path, labels)
    real = RealPeople([folder], held_out=False, with_foreground=True)
    return _domain("target", real, rendered=False, role="unlabelled target", folders=[folder])


def held_out_domain(folder: Path, *, role: str = "test") -> Domain:
    """Open a folder to measure in: all of a rendered one, the groups held out of a labelled one."""
    if is_rendered(folder):
        people: People = RenderedPeople(folder)
    elif is_labelled(folder):
        people = RealPeople([folder], held_out=True)
    else:
        raise SourceError(
            f"{folder} is no folder made by `train synth` or `train label`, so nobody knows what "
            "is true there; make it one first"
        )
    return _domain(folder.name, people, rendered=is_rendered(folder), role=role, folders=[folder])


def label(path: Path, out: Path) -> Path:
    """Let the teachers look at pictures or a video; go on where an earlier run stopped."""
    label_source(own_footage(path, name="target", licence="the user's own"), out)
    return out


def _domain(
    name: str, people: People, *, rendered: bool, role: str, folders: Sequence[Path]
) -> Domain:
    where = ", ".join(map(str, folders))
    if not len(people):
        raise SourceError(
            f"{where} holds nobody to learn from or to measure ({role}); label more pictures, or "
            "name another folder"
        )
    licence = _RENDERED_LICENCE if rendered else _licences(folders)
    data = DataSet(name=where, role=role, licence=licence, pictures=len(people))
    return Domain(name=name, people=people, has_3d=rendered, data=data, folders=tuple(folders))


def _licences(folders: Sequence[Path]) -> str:
    found = {image.licence for folder in folders for image in read_labels(folder)}
    return "; ".join(sorted(found))
