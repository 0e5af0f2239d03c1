"""A delivered bundle, folder or tar archive, is copied into a folder of ours, file by file.

In: what somebody brought.  Out: plain files with plain names, or a `BundleError`.  What is brought
is believed nothing: no link, no path, no size.
"""

import gzip
import os
import tarfile
import zlib
from collections.abc import Generator
from contextlib import closing
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO, Final, cast

from edge_pose.errors import BundleError

MOST_FILES: Final = 64
MOST_BYTES: Final = 1 << 30
"""Of a whole bundle, unpacked."""
_MOST_AT_ONCE: Final = 1 << 20
"""Nothing is held in memory but blocks of this size; a header of an archive is far smaller."""
_MOST_MEMBERS: Final = 4 * MOST_FILES
_GZIP: Final = b"\x1f\x8b"
_MOST_NAME: Final = 128

Delivered = Generator[tuple[str, BufferedIOBase], None, None]
"""Names as they were written, and what reads them."""


def unpack(source: Path, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
    """Copy the files of a delivered bundle into an empty folder."""
    try:
        is_folder = source.is_dir()
    except (OSError, ValueError):
        is_folder = False
    try:
        with closing(_files_of(source) if is_folder else _members_of(source, most_bytes)) as files:
            _copy(files, source, folder, most_bytes)
    except OSError as error:
        raise BundleError(
            f"the bundle {source} cannot be read or copied to {folder} "
            f"({error.strerror or error}); wanted a folder, a .tar or a .tar.gz, and room for it"
        ) from None
    # tarfile answers garbage with errors of many kinds.
    except (tarfile.TarError, EOFError, zlib.error, ValueError, ArithmeticError, LookupError,
            RecursionError, AttributeError, TypeError) as error:  # fmt: skip
        raise BundleError(
            f"{source} is neither a folder nor a whole tar archive ({type(error).__name__}); "
            "fetch the bundle again"
        ) from None


def _copy(files: Delivered, source: Path, folder: Path, most_bytes: int) -> None:
    left = most_bytes
    names: set[str] = set()
    for written, stream in files:
        name = plain_name(written, source)
        if name in names:
            raise BundleError(f"{source} holds {name} twice; pack it again")
        names.add(name)
        if len(names) > MOST_FILES:
            raise BundleError(f"{source} holds more than {MOST_FILES} files; a bundle has a dozen")
        with stream, (folder / name).open("xb") as file:
            while block := stream.read(_MOST_AT_ONCE):
                left -= len(block)
                if left < 0:
                    raise _too_large(source, most_bytes)
                file.write(block)


def plain_name(written: str, source: Path) -> str:
    """Give the name of a file at the top of the bundle, or in the one folder that holds it all."""
    path = PurePosixPath(written)
    parts = path.parts
    good = (
        1 <= len(parts) <= 2  # noqa: PLR2004 - the folder and the file
        and not path.is_absolute()
        and ".." not in parts
        and written.isprintable()
        and "\\" not in written
        and len(written) <= _MOST_NAME
    )
    if not good:
        raise BundleError(
            f"{source} holds a file {written[:_MOST_NAME]!r}, which would lie elsewhere; "
            "wanted plain names, at most below one folder"
        )
    return parts[-1]


def _files_of(folder: Path) -> Delivered:
    """Give what lies in a folder; a link would let somebody else's file in."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                raise _no_file(
                    folder, entry.name, "link" if entry.is_symlink() else "folder or device"
                )
            handle = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
            yield entry.name, os.fdopen(handle, "rb")


def _members_of(archive: Path, most_bytes: int) -> Delivered:
    with archive.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        plain = gzip.GzipFile(fileobj=file) if packed else file
        limited = cast("IO[bytes]", _Limited(plain, archive, most_bytes))
        with tarfile.open(fileobj=limited, mode="r:") as members:
            for number, member in enumerate(members):
                if number >= _MOST_MEMBERS:
                    raise BundleError(f"{archive} holds more than {_MOST_MEMBERS} entries")
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    kind = "link" if member.issym() or member.islnk() else "special file"
                    raise _no_file(archive, member.name, kind)
                yield member.name, cast("BufferedIOBase", members.extractfile(member))


class _Limited:
    """A file that reads forward only so far, and never much at once, whatever a header says."""

    def __init__(self, file: BufferedIOBase, archive: Path, most_bytes: int) -> None:
        self._file = file
        self._archive = archive
        self._most_bytes = most_bytes

    def read(self, size: int = -1) -> bytes:
        """Read some bytes."""
        if not 0 <= size <= _MOST_AT_ONCE or self._file.tell() + size > self._most_bytes * 2:
            raise _too_large(self._archive, self._most_bytes)
        return self._file.read(size)

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere."""
        if whence == os.SEEK_SET and place > self._most_bytes * 2:
            raise _too_large(self._archive, self._most_bytes)
        return self._file.seek(place, whence)

    def tell(self) -> int:
        """Tell where we are."""
        return self._file.tell()


def _too_large(source: Path, most_bytes: int) -> BundleError:
    return BundleError(
        f"{source} unpacks to more than {most_bytes / 1e6:.0f} MB, or says so; no bundle is that "
        "large, so it was not made by `python -m export sign`"
    )


def _no_file(source: Path, name: str, kind: str) -> BundleError:
    return BundleError(
        f"{source} holds {name[:_MOST_NAME]!r}, a {kind}; wanted plain files and nothing else"
    )
