"""Which pictures a bundle is compared by: those that show people well."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from export.graph_command import golden_pictures
from mim_folders import rendered_frame
from train.synth.dataset import chunk_path, pack_chunk, write_chunk


class SureOfBlue(nn.Module):
    """A network that is the surer of somebody the bluer the picture is."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Look at red, green, blue."""
        return {"score_logits": image[:, 2].mean(dim=(1, 2))[:, None].expand(-1, 25)}


def test_crops_are_those_that_the_network_is_sure_of_and_frames_show_people_whole(
    tmp_path: Path,
) -> None:
    frames = []
    for number in range(8):
        frame = rendered_frame(number)
        frame.image[:, :, 2] = 30 * number
        seen = 1.0 if number in {3, 5} else 0.4
        people = [replace(person, visible_fraction=seen) for person in frame.people]
        frames.append(replace(frame, people=people))
    write_chunk(chunk_path(tmp_path, 0), pack_chunk(frames))
    pictures = golden_pictures(tmp_path, SureOfBlue())
    blue = [float(np.median(crop[:, :, 0])) for crop in pictures["pose"]]
    np.testing.assert_allclose(blue, [210, 180, 150, 120], atol=12)
    whole = [float(np.median(frame[140:160, 140:160, 0])) for frame in pictures["detector"]]
    np.testing.assert_allclose(whole, [90, 150], atol=12)


def test_of_fewer_people_than_wanted_all_are_taken(tmp_path: Path) -> None:
    write_chunk(chunk_path(tmp_path, 0), pack_chunk([rendered_frame(0), rendered_frame(1)]))
    pictures = golden_pictures(tmp_path, SureOfBlue())
    assert pictures["pose"].shape == (2, 256, 256, 3)
    assert pictures["detector"].shape == (2, 300, 300, 3)
    assert not torch.from_numpy(pictures["pose"]).is_floating_point()
