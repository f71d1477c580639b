"""Images for experiments: a real data set, or scikit-learn's digits where it is missing; pooling."""

import numpy as np

from pctheory import Data, load_dataset
from pctheory.datasets import available_datasets


def images(name: str, limit: int, split: str = "train") -> tuple[Data, str]:
    """The first `limit` images of a data set, not standardised, and the name of the set really used.

    The digits have no test set of their own: every fifth image is one.
    """
    used = name if name in available_datasets() else "digits"
    if used != "digits":
        data = load_dataset(used, split, limit=limit, standardise=False)
        return Data(np.asarray(data.x, dtype=np.float64), np.asarray(data.y, dtype=np.float64)), used
    whole = load_dataset("digits", standardise=False)
    test = np.arange(whole.num_samples) % 5 == 4
    data = whole.take(np.flatnonzero(test if split == "test" else ~test))
    return data.take(slice(limit)), used


def pooled(x: np.ndarray, size: int) -> tuple[np.ndarray, int]:
    """Means over squares of `size` pixels of square images (B, side^2), and the new side."""
    side = round(x.shape[1] ** 0.5)
    new = side // size
    squares = x.reshape(len(x), side, side)[:, : new * size, : new * size].reshape(
        len(x), new, size, new, size
    )
    return squares.mean((2, 4)).reshape(len(x), new * new), new
