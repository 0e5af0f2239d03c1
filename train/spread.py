"""At most so many of many, evenly spread from the first to the last.

In: how many there are and how many are wanted.  Out: the numbers of those to take.
"""

import numpy as np


def spread(count: int, most: int) -> list[int]:
    """Choose at most `most` numbers below `count`, in rising order, none twice."""
    chosen = np.linspace(0, count - 1, min(count, most)).round().astype(int)
    return [int(number) for number in chosen]
