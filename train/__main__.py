"""`python -m train <command>`: the workshop's command line, one module per command.

A command's module has `add_arguments(parser)` and `main(arguments)`.  It is imported only when
asked for, so that one command does not need the others' packages.
"""

import argparse
import sys
from importlib import import_module
from typing import Final

from edge_pose.errors import EdgePoseError

COMMANDS: Final = {
    "adapt": ("train.adapt_command", "adapt to a line's own pictures, all stages"),
    "continual": ("train.continual_command", "adapt to one target after another"),
    "masks": ("train.masking.command", "draw what recipes of masks hide"),
    "foreground": ("train.foreground_command", "tell which masks of pictures may be believed"),
    "pretrain": ("train.pretrain_command", "let a network learn a line's pictures before any pose"),
    "label": ("train.label_command", "let the teachers label real pictures"),
    "overlooked": ("train.overlooked_command", "box people whom the teachers overlooked"),
    "backgrounds": ("train.backgrounds", "cut parts without people out of labelled pictures"),
    "panoramas": ("train.panoramas", "take pictures of places without anybody, in panoramas"),
    "student": ("train.student_command", "train the pose network"),
    "lift": ("train.lift_command", "train what lifts joints from the picture into metres"),
    "coco": ("train.coco_truth", "write what is known of rendered people as a few labels"),
    "soup": ("train.soup", "average networks that began alike"),
    "detector": ("train.detector_command", "train the person detector"),
    "inventions": ("train.inventions_command", "collect what a detector takes for people"),
    "evaluate": ("train.evaluate", "measure or calibrate a pose network on held-out people"),
    "report": ("train.report", "write one HTML page from results, with a go or no-go"),
    "mounting": ("train.mounting.command", "tell how cameras hang from the people they see"),
    "synth": ("train.synth.command", "render labelled pictures of people who do not exist"),
    "film": ("train.synth.film_command", "render films of people who move and do not exist"),
}


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = sys.argv[1:] if words is None else words
    parser = argparse.ArgumentParser(prog="python -m train", description="The workshop.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if name in words[:1]:
            import_module(module).add_arguments(command)
    arguments = parser.parse_args(words)
    try:
        import_module(COMMANDS[arguments.command][0]).main(arguments)
    except EdgePoseError as error:
        print(f"train {arguments.command}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
