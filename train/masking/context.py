"""What is known about pictures before parts of them are hidden, and the masks that come of it.

In: sizes, soft foreground masks, joints.  Out: checked contexts, masks, and seeded random numbers
on the device of the pictures.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from edge_pose.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskContext:
    """Square pictures of one batch, as far as masks need to know them."""

    size_px: int
    foreground: Tensor | None = None
    """[batch, size, size] in 0..1, soft; all zero where nobody is known to be."""
    joints_px: Tensor | None = None
    """[batch, joints, 2] in pixels of these pictures; NaN or outside where nobody knows."""
    frames: int = 1
    """Of the clip that every picture of the batch stands for; 1 for single pictures."""

    def need_foreground(self, asker: str) -> Tensor:
        """Return the foreground; ConfigError, which names the asker, where there is none."""
        if self.foreground is None:
            raise ConfigError(
                f"{asker} needs foreground masks and these pictures have none; label them with "
                "`python -m train label`, or choose a recipe that does not look at people."
            )
        return self.foreground

    def need_joints(self, asker: str) -> Tensor:
        """Return the joints; ConfigError, which names the asker, where there are none."""
        if self.joints_px is None:
            raise ConfigError(
                f"{asker} needs joints and these pictures have none; label them with "
                "`python -m train label`, or fixate at=foreground, at=random or at=centre."
            )
        return self.joints_px

    def device(self, generator: torch.Generator) -> torch.device:
        """Tell where masks are wanted: beside the pictures, else beside the random numbers."""
        for tensor in (self.foreground, self.joints_px):
            if tensor is not None:
                return tensor.device
        return generator.device

    def uniform(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Draw from 0..1 where the generator lives, so that a seed means the same everywhere."""
        drawn = torch.rand(shape, generator=generator, device=generator.device)
        return drawn.to(self.device(generator))


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """What each picture of a batch hides."""

    hidden: Tensor
    """[batch, looks, size, size] in 0..1; 1 = hidden.

    One look a picture; of a fixation sequence several, each of which shows something that the one
    before hid; of a clip one a frame.
    """
