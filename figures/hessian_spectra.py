r"""Eigenvalues of the inference Hessian and of its two parts against random-matrix densities.

What to see: Marchenko and Pastur's law for the diagonal part, the Dyson equation's for the couplings and for
H at any depth.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from experiments import hessian_spectra
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = hessian_spectra
TITLE = "Spectra of the inference Hessian"
SOURCE = "MU A"
SIZE = (5.5, 3.6)


def draw(fig: Figure, result: Result) -> None:
    """Top: D, O and H of the deepest standard network. Bottom: H of the residual one at every depth."""
    axes = fig.subplots(2, 3)
    hidden = [int(h) for h in result["hidden"]]
    deep = result["sp"][hidden[-1]]
    blue = plotting.COLOURS["pc"]
    plotting.spectrum(
        axes[0, 0],
        deep["diagonal"],
        [deep["points"], deep["diagonal density"]],
        kind="density",
        bins=_bins(deep["diagonal"]),
    )
    plotting.spectrum(
        axes[0, 1],
        deep["couplings"],
        [deep["coupling points"], deep["coupling density"]],
        kind="density",
        bins=_bins(deep["couplings"]),
    )
    plotting.spectrum(
        axes[0, 2],
        deep["full"],
        [deep["points"], deep["full density"]],
        kind="density",
        bins=_bins(deep["full"]),
    )
    for sign in (-1, 1):
        axes[0, 1].axvline(
            sign * 2 * math.sqrt(2), color=plotting.COLOURS["quiet"], linewidth=0.7, linestyle=":"
        )
    for ax, name in zip(axes[0], ("blocks $D$", "couplings $O$", "$H = D + O$"), strict=True):
        ax.set(title=f"sp, {name}, $H = {hidden[-1]}$")
    for ax, h in zip(axes[1], hidden, strict=False):
        part = result["mupc + skips"][h]
        plotting.spectrum(
            ax,
            part["full"],
            [part["points"], part["full density"]],
            kind="density",
            color=blue,
            bins=_bins(part["full"]),
        )
        ax.set(title=rf"$\mu$PC + skips, $H = {h}$")
    for ax in axes[1, len(hidden) :]:
        ax.set_visible(False)
    for column in range(3):  # below the lowest panel of each column
        axes[int(column < len(hidden)), column].set_xlabel("eigenvalue")
    for row in axes:
        row[0].set_ylabel("density")
    for ax in axes.flat:  # a sharp peak at the lower end must not flatten the rest
        ax.set_ylim(0, min(ax.get_ylim()[1], 1.5))
    plotting.letter(ax for ax in axes.flat if ax.get_visible())


def _bins(eigenvalues: ArrayLike) -> int:
    """A dozen eigenvalues to a bin, so that the bars are not mostly noise."""
    return max(min(np.size(eigenvalues) // 12, 40), 8)


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    return (
        "Random-matrix theory gives the spectrum of inference in wide networks. Linear networks of width "
        rf"{meta.config['width']} at initialisation (histograms) and the limits (black). Top: standard "
        "parameterisation with variance $1/N$. The diagonal blocks follow Marchenko and Pastur's law, "
        r"shifted by 1, with edges 1 and 5; the couplings $O$ a Dyson equation, up to $2\sqrt{2}$ (dotted). "
        "The two share their weights, so $H$ is not their free sum: it follows a matrix Dyson equation of "
        r"its own at every depth. Bottom: residual $\mu$PC networks, where one band splits off at the lower "
        "end for each slow mode of the chain of layers; axes cut at 1.5. The published figure treats the "
        rf"blocks and the couplings; the density of $H$ is new. ({meta.setting}.)"
    )
