"""Poses from motion capture: in goes a folder of clips, out come postures of our bodies."""

import numpy as np

from train.synth.kinematics import Posture
from train.synth.measures import Measures


class MotionLibrary:
    """Clips of recorded motion."""

    def sample(self, measures: Measures, *, rng: np.random.Generator) -> Posture:
        raise NotImplementedError
