"""Hypothesis draws depth, widths, gain, parameterisation, skips, precisions and a seed; numpy makes the
arrays.
"""

import numpy as np
from hypothesis import strategies as st

from pctheory import Data, LinearPCN
from pctheory.model import PARAMETERISATIONS

seeds = st.integers(0, 2**32 - 1)


def random_precision(kind, size, rng):
    """A precision of the given kind with eigenvalues in about [0.3, 3]."""
    if kind == "identity":
        return None
    if kind == "scalar":
        return float(np.exp(rng.uniform(-1, 1)))
    if kind == "vector":
        return np.exp(rng.uniform(-1, 1, size))
    basis = np.linalg.qr(rng.standard_normal((size, size)))[0]
    matrix = (basis * np.exp(rng.uniform(-1, 1, size))) @ basis.T
    return (matrix + matrix.T) / 2


@st.composite
def networks(draw, min_depth=1, max_depth=6, max_width=5, precisions=True, gain=(0.3, 2.0), skips=True):
    """Any network: unequal widths, square hidden layers with skips, every parameterisation, every kind of
    precision.
    """
    depth = draw(st.integers(min_depth, max_depth))
    square = skips and draw(st.booleans())
    if square:
        hidden = draw(st.integers(1, max_width))
        widths = [draw(st.integers(1, max_width)), *[hidden] * (depth - 1), draw(st.integers(1, max_width))]
    else:
        widths = [draw(st.integers(1, max_width)) for _ in range(depth + 1)]
    rng = np.random.default_rng(draw(seeds))
    pattern = [square and 1 < l < depth and bool(rng.integers(2)) for l in range(1, depth + 1)]
    kinds = ["identity", "scalar", "vector", "matrix"] if precisions else ["identity"]
    drawn = [random_precision(draw(st.sampled_from(kinds)), n, rng) for n in widths[1:]]
    net = LinearPCN.random(
        widths,
        parameterisation=draw(st.sampled_from(sorted(PARAMETERISATIONS))),
        skips=pattern,
        gamma=draw(st.sampled_from([0.5, 1.0, 3.0])),
        precisions=drawn,
        rng=rng,
    )
    scale = draw(st.floats(*gain))
    return net.replace(weights=[scale * w for w in net.weights])


@st.composite
def problems(draw, max_samples=6, **options):
    """A network and data of its widths."""
    net = draw(networks(**options))
    rng = np.random.default_rng(draw(seeds))
    size = draw(st.integers(1, max_samples))
    return net, Data(rng.standard_normal((size, net.widths[0])), rng.standard_normal((size, net.widths[-1])))
