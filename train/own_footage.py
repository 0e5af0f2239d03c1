"""The user's own pictures and videos as a source.

In: a path.  Out: `Stills` or `Clips`; where all of the footage is one folder or one clip, runs of
neighbours are its groups.
"""

from pathlib import Path

from edge_pose.errors import SourceError
from train.sources import PICTURE_ENDINGS, VIDEO_ENDINGS, Clips, Still, Stills, files_in


def own_pictures(folder: Path, *, name: str, licence: str) -> Stills:
    """Read a folder of the user's own pictures; several subfolders are the groups."""
    paths = tuple(
        path for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURE_ENDINGS
    )
    if not paths:
        raise SourceError(
            f"{folder} holds no pictures ({', '.join(sorted(PICTURE_ENDINGS))}); name another"
        )
    return Stills(
        name=name,
        licence=licence,
        files=tuple(
            Still(
                path=path,
                key=f"{name}/{path.relative_to(folder).as_posix()}",
                group=f"{name}/{path.parent.relative_to(folder).as_posix()}",
            )
            for path in paths
        ),
        in_runs=len({path.parent for path in paths}) == 1,
    )


def own_video(path: Path, *, name: str, licence: str, every: int = 1) -> Clips:
    """Read a video of the user's own, or all videos in a folder; several are the groups."""
    files = files_in(path, VIDEO_ENDINGS) if path.is_dir() else (path,)
    return Clips(name=name, licence=licence, files=files, every=every, in_runs=len(files) == 1)


def own_footage(path: Path, *, name: str, licence: str, every: int = 1) -> Stills | Clips:
    """Read a folder of the user's own pictures or videos, or a video, whichever is there.

    `every`: of videos, every n-th frame.
    """
    if path.is_file() or (path.is_dir() and _holds_video(path)):
        return own_video(path, name=name, licence=licence, every=every)
    if path.is_dir():
        return own_pictures(path, name=name, licence=licence)
    raise SourceError(f"there is no {path}; name a folder of pictures, or a video")


def _holds_video(folder: Path) -> bool:
    return any(path.suffix.lower() in VIDEO_ENDINGS for path in folder.iterdir())
