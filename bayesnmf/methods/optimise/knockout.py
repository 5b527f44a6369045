"""The best of several starts by plain updates: few of them are carried to the end."""

from __future__ import annotations

import numpy as np

from bayesnmf.data import AnyMatrix
from bayesnmf.methods.optimise import multiplicative
from bayesnmf.methods.optimise.initial import Start
from bayesnmf.methods.optimise.solution import solution_at
from bayesnmf.model import NMF
from bayesnmf.model.completion import put_known
from bayesnmf.observed import observe

#: Updates of a round, after which the better half of the points goes on. Earlier the order of objectives says
#: little of where the points end: the correlation is 0.2 after 100 updates, 0.6 after 300 and 0.8 after 600.
ROUND = 300


def best_by_updates(
    model: NMF, matrix: AnyMatrix, starts: list[Start], *, log_space: bool
) -> dict[str, np.ndarray]:
    """Return values of the sites near an optimum, of the start that leads to the best.

    Newton's steps come nearer in less time, and their program takes ten times as long to compile.
    """
    data, values = observe(model, matrix), model.likelihood.start()

    points = [
        multiplicative.first_point(model, *put_known(model, *start), values) for start in starts
    ]
    while True:
        points = [
            multiplicative.iterate(model, data, point, num_steps=ROUND, log_space=log_space)
            for point in points
        ]
        # What is not a number comes last.
        points.sort(key=lambda point: np.nan_to_num(float(point.objective), nan=np.inf))
        if len(points) == 1:
            return solution_at(model, points[0], np.nan, 0, False).sites
        points = points[: len(points) // 2]
