"""Several looks at one picture as one answer: the student's, its mirror image's, another network's.

In: pictures [batch, 3, 256, 256], as `train.student` wants them.  Out: an answer as it gives one.

Networks that were trained apart err apart, so the mean of their places is nearer than either's
(Hansen and Salamon 1990, doi:10.1109/34.58871), as long as they speak of the same body.  Where
they do not, one has taken left for right or somebody else for this person; half-way between is
nobody, so the student is believed.  How far looks are apart says how sure a place is, better than
any score.
"""

from argparse import ArgumentParser, Namespace
from typing import Final

import torch
from torch import Tensor, nn

from edge_pose.errors import ConfigError
from train.agreement import Answer, both_ways, unmirrored
from train.distributed import device
from train.student import STARTS, PoseNet

_SAME_BODY_PX: Final = 20.0
"""Mean distance of all joints, in pixels of the crop, at which the other network counts e times
less than next to the student: people agreed about are 5 px apart, people turned round 40.
"""
_DEPTHS_SHARE: Final = 0.25
"""Of the other network in the metres: the student has learned from true depths, it has not."""
_USUALLY_APART_PX: Final = 5.0
_DOUBT: Final = 0.75
"""Of the logarithm of how far two looks are apart, taken from the logit of the score: fitted on
crops of training (docs/log.md)."""


class Ensemble(nn.Module):
    """A student asked about the picture and its mirror image, and another network beside it."""

    def __init__(self, student: PoseNet, beside: PoseNet | None = None) -> None:
        """Put them together; the student's lifter, where it has one, speaks of what all see."""
        super().__init__()
        self.student = student
        self.beside = beside
        self.start = student.start

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Predict from pictures [batch, 3, 256, 256]."""
        people = image.shape[0]
        looks = self.student.seen(torch.cat([image, image.flip(-1)]))  # two cores share a batch
        plain, flipped = (
            {name: value[half] for name, value in looks.items()}
            for half in (slice(None, people), slice(people, None))
        )
        answer = both_ways(plain, flipped)
        answer = doubted(answer, apart_px(plain, unmirrored(flipped)))
        if self.beside is not None:
            answer = joined(answer, self.beside.seen(image))
        if self.student.lifter is None:
            return answer
        return both_ways(self.student.lifted(answer), self.student.lifted(unmirrored(answer)))


def joined(student: Answer, other: Answer) -> dict[str, Tensor]:
    """Move the student's places towards another network's, as far as both mean the same body.

    Whether somebody is there, and how far the body reaches, stays the student's to say.
    """
    away_px = apart_px(student, other)
    same_body = torch.exp(-((away_px.mean(-1) / _SAME_BODY_PX) ** 2))[:, None, None]
    return {
        **doubted(student, away_px),
        "joints_px": torch.lerp(student["joints_px"], other["joints_px"], same_body / 2),
        "joints_m": torch.lerp(student["joints_m"], other["joints_m"], _DEPTHS_SHARE),
    }


def apart_px(one: Answer, other: Answer) -> Tensor:
    """Measure how far two answers are apart in the picture, [batch, joints]."""
    return (one["joints_px"] - other["joints_px"]).square().sum(-1).sqrt()


def doubted(answer: Answer, away_px: Tensor) -> dict[str, Tensor]:
    """Take the logarithm of how far another look was away, [batch, joints], from the scores."""
    doubt = _DOUBT * torch.log((1 + away_px) / _USUALLY_APART_PX)
    return {**answer, "score_logits": answer["score_logits"] - doubt}


def add_options(parser: ArgumentParser) -> None:
    """Declare how else a picture is looked at."""
    parser.add_argument(
        "--mirrored",
        action="store_true",
        help="look at the mirror image too, in twice the time: the accurate tier",
    )
    parser.add_argument(
        "--beside",
        choices=STARTS,
        help="with --mirrored, ask this published network of MediaPipe too and say the mean",
    )


def from_options(student: PoseNet, arguments: Namespace) -> PoseNet | Ensemble:
    """Make the ensemble that is asked for, or leave the student alone.

    Raises:
        ConfigError: another network without the mirror image, which nobody has measured.

    """
    if not arguments.mirrored:
        if arguments.beside is not None:
            raise ConfigError(f"--beside {arguments.beside} needs --mirrored; add it")
        return student
    beside = None if arguments.beside is None else PoseNet(arguments.beside).to(device()).eval()
    return Ensemble(student, beside).eval()
