"""The toy of the landscape papers, shared by its experiments: f = w_2 w_1 x, y = -x, x ~ N(1, .1^2)."""

from collections.abc import Callable

import numpy as np

from pctheory import Data, EquilibratedEnergy, LinearPCN, MSELoss

PUBLISHED_START = (0.744, 0.94)
OBJECTIVES = {"bp": MSELoss, "pc": EquilibratedEnergy}


def chain(weights: np.ndarray) -> LinearPCN:
    """The chain of scalar weights (w_1, ..., w_L)."""
    return LinearPCN([[[float(w)]] for w in weights])


def vector(weights) -> np.ndarray:  # type: ignore[no-untyped-def]
    """The weights of a chain as one vector."""
    return np.array([np.asarray(w).item() for w in weights])


def descent(
    update: Callable[[LinearPCN, Data], np.ndarray],
    start: tuple[float, ...],
    learning_rate: float,
    steps: int,
    batch_size: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[Data]]:
    """Stochastic descent with a new batch at every step: the path (steps + 1, L) and its batches."""
    path, batches = [np.array(start)], []
    for _ in range(steps):
        batches.append(Data.toy(batch_size, rng=rng))
        path.append(path[-1] + learning_rate * update(chain(path[-1]), batches[-1]))
    return np.array(path), batches


def gradient_rule(rule: str) -> Callable[[LinearPCN, Data], np.ndarray]:
    """Minus the gradient of the loss ("bp") or of the equilibrated energy ("pc")."""
    return lambda net, batch: -vector(OBJECTIVES[rule](batch).gradient(net))
