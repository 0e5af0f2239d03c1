"""The best one-to-one matching of two groups by a table of gains."""

import numpy as np
from jaxtyping import Float64


def assign(gains: Float64[np.ndarray, "rows columns"], *, least: float) -> list[tuple[int, int]]:
    """Pair rows with columns for the largest total gain, leaving out what gains less than `least`.

    Shortest augmenting paths with potentials (the Hungarian method, H. W. Kuhn 1955, in the form of
    R. Jonker and A. Volgenant 1987).
    """
    rows, columns = gains.shape
    if rows == 0 or columns == 0:
        return []
    if rows > columns:
        return sorted((row, column) for column, row in assign(gains.T, least=least))
    # A pair that may not be made is worth as little as staying alone.
    costs = -np.where(gains >= least, gains, 0.0)
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    row_of = np.zeros(columns + 1, int)
    for row in range(1, rows + 1):
        row_of[0] = row
        column = 0
        cheapest = np.full(columns + 1, np.inf)
        came_from = np.zeros(columns + 1, int)
        closed = np.zeros(columns + 1, bool)
        while row_of[column] != 0:
            closed[column] = True
            here = row_of[column]
            reduced = costs[here - 1] - row_price[here] - column_price[1:]
            better = ~closed[1:] & (reduced < cheapest[1:])
            cheapest[1:][better] = reduced[better]
            came_from[1:][better] = column
            column_next = int(np.argmin(np.where(closed, np.inf, cheapest)))
            step = cheapest[column_next]
            row_price[row_of[closed]] += step
            column_price[closed] -= step
            cheapest[~closed] -= step
            column = column_next
        while column != 0:
            row_of[column] = row_of[came_from[column]]
            column = came_from[column]
    pairs = [
        (int(row_of[column]) - 1, column - 1) for column in range(1, columns + 1) if row_of[column]
    ]
    return sorted((row, column) for row, column in pairs if gains[row, column] >= least)
