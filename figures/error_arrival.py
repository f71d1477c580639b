r"""Errors travel one layer a step, arrive exponentially small, and level out.

What to see: a layer's energy is exactly zero before t = L - l and g^{2(L-l)} of the output's at that step; at
equilibrium the layers of an orthogonal network hold equal energies; spiking precisions give backprop's
direction with exponentially rescaled layers.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import error_arrival
from experiments._result import Result
from experiments._store import Meta
from figures._outcome import Outcome, outcome
from pctheory import plotting

EXPERIMENT = error_arrival
TITLE = "Errors arrive exponentially small and level out"
SOURCE = "QI"
SIZE = (5.5, 3.9)


def draw(fig: Figure, result: Result) -> None:
    """Energies over time; profiles over layers; cosines of spiking and weighted precisions; norms."""
    axes = fig.subplots(2, 2)
    (time, profile), (cosine, norm) = axes
    times, energies = np.asarray(result["times"]), np.asarray(result["energies"])
    depth = energies.shape[1]
    layers = np.arange(1, depth + 1)
    drawn = layers[(depth - 1) % 3 :: 3]
    for l, color in zip(drawn, plotting.shades(len(drawn)), strict=True):
        row = energies[:, l - 1]
        shown = row > 0
        time.plot(times[shown] + 1, row[shown], color=color, lw=0.9)
        time.plot(depth - l + 1, result["arrival"][l - 1], "o", color="black", ms=2.6, zorder=4)
    time.set(xscale="log", yscale="log", xlabel="inference step $t + 1$", ylabel=r"energy of layer $l$")
    time.axhline(np.mean(result["equilibrium"]), color="black", lw=0.8, ls="--")
    time.set_ylim(bottom=min(result["arrival"]) / 30)
    plotting.note(
        time,
        f"$l = {', '.join(map(str, drawn))}$, light to dark\ndots: first arrival\ndashed: equilibrium",
        "lower right",
        fontsize=7,
    )

    picks = [depth, 3 * depth, 10 * depth, int(times[-1])]
    for when, color in zip(picks, plotting.shades(len(picks)), strict=True):
        index = int(np.argmin(np.abs(times - when)))
        profile.plot(
            layers, energies[index], "o-", color=color, ms=2.5, lw=0.8, label=f"$t = {times[index]}$"
        )
    plotting.theory(profile, layers, result["equilibrium"], label="equilibrium", linestyle="--")
    profile.set(yscale="log", xlabel="layer $l$", ylabel="energy")
    profile.legend(fontsize=7, loc="lower right")

    alphas, spiking = np.asarray(result["alphas"]), np.asarray(result["spiking_cosines"])
    ratios, weighted = np.asarray(result["ratios"]), np.asarray(result["ratio_cosines"])
    cosine.plot(
        alphas,
        1 - np.nanmin(spiking, axis=1),
        "o-",
        ms=3,
        color=plotting.COLOURS["highlight"],
        label=r"spiking, $\alpha$",
    )
    cosine.plot(
        1 / ratios,
        1 - np.nanmin(weighted, axis=1),
        "s-",
        ms=3,
        color=plotting.COLOURS["pc"],
        label="output / hidden precision",
    )
    cosine.set(xscale="log", yscale="log", xlabel="small parameter", ylabel="1 - cosine to BP, worst layer")
    cosine.legend(fontsize=7, loc="lower right")

    norm.plot(layers, result["spiking_norms"], "o", ms=3.5, color=plotting.COLOURS["highlight"])
    plotting.theory(norm, layers, result["predicted_norms"], label=None)
    norm.set(yscale="log", xlabel="layer $l$", ylabel="norm of the spiking update / BP")
    plotting.note(norm, r"line: $g^{L-l}(1-g)$, and 1 at $L$", "upper left", fontsize=7)
    for ax in (profile, norm):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    plotting.letter(axes)


def _orders(result: Result) -> dict[str, float]:
    """Fitted powers of the small parameters in 1 - cosine (twice those of the error)."""
    found = {}
    for key, x, table in (
        ("spiking", np.asarray(result["alphas"]), result["spiking_cosines"]),
        ("precision", 1 / np.asarray(result["ratios"]), result["ratio_cosines"]),
    ):
        gap = 1 - np.nanmin(np.asarray(table), axis=1)
        clean = (gap > 1e-13) & (x < 2e-3)
        found[key] = float(np.polyfit(np.log(x[clean]), np.log(gap[clean]), 1)[0])
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees with the published claim and what does not."""
    energies, orders = np.asarray(result["energies"]), _orders(result)
    first = float(np.min(result["arrival"]) / result["arrival"][-1])
    spread = float(np.max(energies[-1]) / np.min(energies[-1]))
    plain, decaying = (np.nanmin(row) for row in np.asarray(result["decaying_cosines"]))
    return (
        "Errors travel one layer a step and arrive exponentially small, but the imbalance passes. Orthogonal "
        rf"layers, $L = {meta.config['depth']}$, width {meta.config['width']}, step $g = "
        rf"{meta.config['step']:g}$. (a) Energy of each layer along inference: exactly zero before $t = L - "
        "l$; dots: the predicted $g^{2(L-l)}$ of the output's energy. (b) Then the first layer holds "
        rf"{first:.0e} of the output's energy, as published; at $t = {result['times'][-1]}$ largest and "
        rf"smallest layer differ by a factor of {spread:.3f}. (c) Gaussian weights: distance from BP's "
        r"direction in the worst layer. Spiking ($\alpha$ on silent layers) and large hidden precisions give "
        rf"BP, with $1 - \cos$ of order {orders['spiking']:.2f} and {orders['precision']:.2f} "
        rf"(expected 2); with precisions that decay away from the spike the worst cosine is {decaying:.2f}, "
        rf"against {plain:.2f} without. (d) The spiking update: BP's, rescaled. "
        rf"({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Orders."""
    return {f"order-{key}": float(f"{value:.3g}") for key, value in _orders(result).items()}


def outcomes(result: Result, meta: Meta) -> list[Outcome]:
    """The exponential decay towards the input, and its two remedies."""
    arrival, orders = np.asarray(result["arrival"]), _orders(result)
    energies = np.asarray(result["energies"])
    first, spread = float(arrival.min() / arrival[-1]), float(energies[-1].max() / energies[-1].min())
    plain, decaying = (float(np.nanmin(row)) for row in np.asarray(result["decaying_cosines"]))
    return [
        outcome(
            "the energy of a layer falls exponentially with its distance from the output",
            f"first layer {first:.0e} of the output's when its error arrives; equal at equilibrium "
            f"(factor {spread:.3f})",
            first < 1e-6,
            spread > 10,
        ),
        outcome(
            "spiking precisions give BP's direction",
            rf"$1 - \cos$ falls with order {orders['spiking']:.2f}",
            orders["spiking"] > 1.5,
        ),
        outcome(
            "decaying precisions bring PC nearer to BP",
            f"worst cosine {decaying:.2f}, without {plain:.2f}",
            decaying > plain,
        ),
    ]
