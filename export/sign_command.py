"""`python -m export sign`: vouch for a packed bundle, and make one file of it to send."""

import argparse
from pathlib import Path

from export.sign import archive, sign


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", type=Path, help="folder that `pack` wrote")
    parser.add_argument("--key", type=Path, required=True, help="private key, by `keygen`")
    parser.add_argument(
        "--serial", type=int, help="number that must rise with every release (default: the time)"
    )
    parser.add_argument("--archive", type=Path, metavar="FILE", help="also write a .tar or .tar.gz")


def main(options: argparse.Namespace) -> None:
    """Sign, and archive where asked."""
    serial = sign(options.bundle, options.key, serial=options.serial)
    print(f"{options.bundle}: signed, serial {serial}")
    if options.archive is not None:
        archive(options.bundle, options.archive)
        print(f"{options.archive}: {options.archive.stat().st_size / 1e6:.1f} MB")
