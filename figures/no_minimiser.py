r"""Noisy data: weights that never come to rest, and two remedies.

What to see: under plain PC the last weights grow like t^(1/4) while the map stays; weight decay and the full
likelihood stop them, the likelihood only if the residual is larger than the output variance that the model
assumes.
"""

import numpy as np
from matplotlib.figure import Figure

from experiments import no_minimiser
from experiments._result import Result
from experiments._store import Meta
from pctheory import plotting

EXPERIMENT = no_minimiser
TITLE = "Noise on every output leaves no minimiser"
SOURCE = "new"
SIZE = (5.5, 4.9)
_CURVES = {
    "plain": ("PC: $F^*$", plotting.COLOURS["pc"]),
    "decay": ("with weight decay", "#e76300"),
    "likelihood": (r"$F^* + \frac{1}{2} \log\,\det\,S$", "#832db6"),
}


def draw(fig: Figure, result: Result) -> None:
    """Rows: weights, energy, loss. Columns: the noisy chain and the network."""
    columns = {name: found for name, found in result["columns"].items() if name != "N=0.5"}
    axes = fig.subplots(3, len(columns), sharex="col")
    for column, (name, found) in enumerate(columns.items()):
        weights, energy, loss = axes[:, column]
        for key, (label, color) in _CURVES.items():
            curve = found["curves"][key]
            after = curve["times"] > 0
            times = curve["times"][after]
            weights.loglog(times, curve["last"][after], color=color, label=label)
            weights.loglog(times, curve["first"][after], color=color, ls=":", lw=1.0)
            energy.loglog(times, curve["energy"][after], color=color)
            loss.semilogx(times, curve["loss"][after] - found["best_loss"], color=color)
        loss.set_yscale("symlog", linthresh=1e-4)
        loss.set_ylim(0, None)
        loss.set_yticks([0, 1e-4, 1e-2, 1])
        if name.startswith("N="):
            noise = float(name[2:])
            plotting.theory(
                weights, times, (4 * noise * times) ** 0.25, label=r"$(4Nt)^{1/4}$", linestyle="--"
            )
            weights.set_title(f"chain, $N = {noise:g}$")
        else:
            weights.set_title("network")
        loss.set_xlabel("time $t$")
    axes[0, 0].set_ylabel(r"$\Vert W_L \Vert$ (dotted: $\Vert W_1 \Vert$)")
    axes[1, 0].set_ylabel("$F^*$")
    axes[2, 0].set_ylabel(r"$\mathcal{L}$ above least squares")
    plotting.legend_outside(fig, axes[0, 0], "bottom")
    plotting.letter(axes)


def _exponent(result: Result, name: str) -> float:
    """Growth exponent of the last weight over the last decade of time."""
    plain = result["columns"][name]["curves"]["plain"]
    late = plain["times"] >= plain["times"][-1] / 10
    return float(np.polyfit(np.log(plain["times"][late]), np.log(plain["last"][late]), 1)[0])


def _last(result: Result, name: str, key: str, what: str) -> float:
    return float(result["columns"][name]["curves"][key][what][-1])


def caption(result: Result, meta: Meta) -> str:
    """What was run, what agrees."""
    chains = [name for name in result["columns"] if name.startswith("N=")]
    exponents = " and ".join(f"{_exponent(result, name):.3f}" for name in chains)
    return (
        "On noisy data predictive coding has no minimiser: the last weights grow without end. Exact gradient "
        "flow. Left: a chain of two weights, residual variance $N$ of the best linear map; right: "
        rf"widths {'-'.join(map(str, meta.config['widths']))}, noise {meta.config['noise']:g} in the "
        "targets. Plain PC fits the map (bottom), then inflates the last weights (top), and its energy "
        rf"falls towards 0 (middle). Exponents of growth in the last decade, $N = 2$ and $0.5$: "
        rf"{exponents} (law: 1/4, dashed). Weight decay ({meta.config['decay']:g}) stops this and "
        "biases the map. The "
        "negative log likelihood, which keeps the log determinant, stops it without bias at $N = 2$, $w_2 = "
        rf"{_last(result, chains[0], 'likelihood', 'last'):.3f}$ (theory: $\sqrt{{N - 1}} = 1$). At $N = "
        "0.5$ (not drawn), less than the model's own noise of 1, the first weight grows, to "
        rf"{_last(result, chains[-1], 'likelihood', 'first'):.1f}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """Growth exponents."""
    chains = [name for name in result["columns"] if name.startswith("N=")]
    return {"exponent": float(f"{_exponent(result, chains[0]):.3f}")}
