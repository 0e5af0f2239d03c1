"""How long a run is and how fast it goes, step by step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast."""

    steps: int
    learning_rate: float
    warmup_steps: int = 100
    average_decay: float = 0.998
    save_every: int = 200

    def rate(self, step: int) -> float:
        """Rise linearly, then fall by a half cosine (Loshchilov, Hutter 2017, arXiv:1608.03983)."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(self.steps - self.warmup_steps, 1)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))

    def decay(self, step: int) -> float:
        """Return how much of the averaged weights stays: less at first, when they say little."""
        return min(self.average_decay, (step + 1) / (step + 10))

    def is_due(self, done: int) -> bool:
        """Tell whether there is something to save after so many steps."""
        return done % self.save_every == 0 or done == self.steps
