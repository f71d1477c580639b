r"""The landscape of the first page: from the loss to :math:`F^*` as inference goes on, and the way down.

All numbers are computed here, by `pctheory.explore`; the page draws them. The network is that of the figure
hero-landscape: a chain of three weights on y = -x whose first two are tied, :math:`f = v u^2 x`.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.colors import to_hex

from experiments.hero_landscape import TIED, Config
from pctheory import Data, LinearPCN
from pctheory.explore import Deformation, deformation
from pctheory.plotting import COLOURS, LANDSCAPE

__all__ = ["Film", "block", "film", "script"]

STEP = 1e-4
"""Of the central differences along the paths."""


@dataclass(frozen=True, eq=False)
class Film:
    """The frames of the deformation.

    Attributes
    ----------
    times : (T,)
        Of inference; 0 shows the loss, infinity the equilibrated energy. In equal steps of 1 - exp(-2t).
    axis_u, axis_v : (n,)
        The weights.
    values : (T, n, n)
        The energy; rows are v, columns are u.
    paths : (T, steps + 1, 3)
        Gradient descent on each: u, v and the energy there.
    halved : (T,)
        Iterations until the loss is half of the first one.
    """

    times: np.ndarray
    axis_u: np.ndarray
    axis_v: np.ndarray
    values: np.ndarray
    paths: np.ndarray
    halved: np.ndarray


def film(frames: int = 21, grid: int = 41, config: Config | None = None) -> Film:
    """Compute the frames."""
    config = config or Config()
    net, data = LinearPCN.zeros((1, 1, 1, 1)), Data.toy(config.batch_size, rng=config.seed).compress()
    shares = np.linspace(0, 1, frames)
    times = np.append(-0.5 * np.log1p(-shares[:-1]), np.inf)
    axis_u, axis_v = (np.linspace(low, low + config.side, grid) for low in config.low)
    plane = np.stack(np.meshgrid(axis_u, axis_v), axis=-1)
    ground = deformation(net, data, plane @ TIED)

    places, heights, losses = [np.tile(config.start, (frames, 1))], [], []
    around = STEP * np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    for _ in range(config.steps + 1):
        near = deformation(net, data, (places[-1][:, None] + around) @ TIED)
        energy = np.array([_frame(near, i).at(time) for i, time in enumerate(times)])
        slope = (energy[:, 1::2] - energy[:, 2::2]) / (2 * STEP)
        heights.append(energy[:, 0])
        losses.append(near.at(0.0)[:, 0])
        places.append(places[-1] - config.learning_rate * slope)
    paths = np.concatenate([np.stack(places[:-1], axis=1), np.stack(heights, axis=1)[..., None]], axis=-1)
    loss = np.array(losses)
    return Film(
        times,
        axis_u,
        axis_v,
        np.array([ground.at(time) for time in times]),
        paths,
        np.argmax(loss <= loss[0] / 2, axis=0),
    )


def _frame(near: Deformation, i: int) -> Deformation:
    return Deformation(near.eigenvalues[i], near.squares[i])


def block(shown: Film) -> str:
    """The landscape for a page in Markdown, complete but for `landscape.js`."""
    page = (Path(__file__).parent / "landscape.html").read_text()
    return f"```{{raw}} html\n{page.replace('DATA', script(shown))}```"


def script(shown: Film, every: int = 5, last: int = 300) -> str:
    """The frames for the page, as JSON: heights in 16 bits, each fifth point of the paths."""
    top = float(shown.values.max())
    heights = np.round(shown.values / top * 65535).astype("<u2")
    record = {
        "shape": heights.shape,
        "top": top,
        "heights": base64.b64encode(heights.tobytes()).decode(),
        "u": [float(shown.axis_u[0]), float(shown.axis_u[-1])],
        "v": [float(shown.axis_v[0]), float(shown.axis_v[-1])],
        "paths": shown.paths[:, : last + 1 : every].round(4).tolist(),
        "times": [f"{time:.2f}" if math.isfinite(time) else "\u221e" for time in shown.times],
        "halved": shown.halved.tolist(),
        "colours": [to_hex(LANDSCAPE(i / 63)) for i in range(64)],
        "ends": [COLOURS["bp"], COLOURS["pc"]],
    }
    return json.dumps(record, separators=(",", ":"))
