r"""Inference in networks that were trained by different rules from the same weights on the same data.

What to see: the energy falls alike under all rules that see it, and the loss does not; the rules leave
different spectra behind, and the two that use T steps leave less of the excess energy after T steps than
exact PC, at a larger condition number.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from experiments import inference_by_rule
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = inference_by_rule
TITLE = "How the learning rule changes inference"
SOURCE = "INI 1"
SIZE = (5.5, 3.9)
_RULES = {
    "local": (r"local rule at $z_T$", plotting.COLOURS["highlight"]),
    "through": ("through inference", plotting.COLOURS["newton"]),
    "pc": ("exact PC", plotting.COLOURS["pc"]),
    "bp": ("BP", plotting.COLOURS["bp"]),
}


def draw(fig: Figure, result: Result) -> None:
    """Energy and loss; condition; half-life; spectra; layer energies; trajectories."""
    axes = fig.subplots(2, 3)
    energy, condition, half = axes[0]
    spectrum, layers, path = axes[1]
    time = np.maximum(np.asarray(result["iterations"]), 0.7)
    for ax in (energy, condition, half):
        ax.set(xscale="log", xlabel="training iteration")
    energy.set_yscale("log")
    condition.set_yscale("log")
    spectrum.set_yscale("log")
    layers.set_yscale("log")
    path.set_yscale("log")
    first = _mean(result["local"]["first_eigenvalues"])
    rank = np.linspace(0, 1, first.size)
    spectrum.plot(rank, first, color="black", lw=0.8, ls=":", label="before")
    t = np.arange(np.asarray(result["local"]["first_gaps"]).shape[1])
    path.plot(t, _mean(result["local"]["first_gaps"]), color="black", lw=0.8, ls=":")
    for rule, (label, color) in _RULES.items():
        entry = result[rule]
        plotting.spread(energy, time, entry["energy"], color, label)
        plotting.spread(energy, time, entry["loss"], color, lw=0.8, ls="--")
        plotting.spread(condition, time, entry["condition"], color)
        plotting.spread(half, time, entry["half_life"], color)
        spectrum.plot(rank, _mean(entry["last_eigenvalues"]), color=color, lw=1.0)
        last = np.asarray(entry["settled_layers"])[:, -1]
        index = np.arange(1, last.shape[1] + 1)
        plotting.spread(layers, index, last, color, marker="o", ms=2.8)
        plotting.spread(path, t, entry["last_gaps"], color)
    energy.set_ylabel(r"$F^*$ (solid), $\mathcal{L}$ (dashed)")
    condition.set_ylabel(r"condition number $\kappa(H)$")
    half.set_ylabel("half-life, steps")
    spectrum.set(xlabel="rank, relative", ylabel="eigenvalues of $H$")
    spectrum.legend(fontsize=7, loc="upper left")
    layers.set(xlabel="layer $l$", ylabel="energy at equilibrium", xticks=index)
    path.set(xlabel="inference step $t$", ylabel=r"$(F(z_t) - F^*)\,/\,(\mathcal{L} - F^*)$")
    path.axvline(result["num_steps"], color=plotting.COLOURS["quiet"], lw=0.7)
    plotting.legend_outside(fig, [energy], "bottom")
    plotting.letter(axes)


def _mean(samples: ArrayLike) -> np.ndarray:
    """The geometric mean over seeds, which is what a logarithmic axis shows."""
    return np.exp(np.log(np.asarray(samples, dtype=float)).mean(axis=0))


def _ends(result: Result) -> dict[str, float]:
    """Geometric means over seeds at the end of training."""
    found = {}
    for rule in _RULES:
        entry = result[rule]
        for key in ("loss", "energy", "condition", "half_life"):
            found[f"{rule}-{key.replace('_', '-')}"] = float(_mean(np.asarray(entry[key])[:, -1]))
        found[f"{rule}-left"] = float(_mean(np.asarray(entry["last_gaps"])[:, int(result["num_steps"])]))
    return found


def caption(result: Result, meta: Meta) -> str:
    """What was run, what is seen."""
    e = _ends(result)
    first = float(_mean(np.asarray(result["local"]["condition"])[:, 0]))
    rules = ("local", "through", "pc", "bp")

    def ends(key: str, form: str, scale: float = 1.0) -> str:
        return ", ".join(format(scale * e[f"{rule}-{key}"], form) for rule in rules)

    return (
        "Rules that learn from the energy lower it alike, but not the loss, and change how fast the network "
        rf"infers. Linear networks ({meta.config['hidden']} hidden layers of {meta.config['width']}) on "
        rf"{_names.dataset(result['dataset'])}, {_names.seeds(meta.config)}, equal weights, data, rates and "
        rf"inference ($g = {meta.config['step']:g}$, $T = {meta.config['num_steps']}$). At the end, "
        "for local rule, BP through inference, exact PC, BP (geometric means): (a) energy (solid) "
        rf"{ends('energy', '.3f')}; loss (dashed) {ends('loss', '.2f')}: no linear map fits, so the energy "
        rf"rewards large weights. (b) Condition number: {ends('condition', '.1f')}, from {first:.1f}. (c) "
        rf"Half-life of the slowest mode in steps: {ends('half-life', '.1f')}. (d) Spectra of $H$. (e) "
        "Energy by layer. (f) Excess energy along inference; left after $T$ steps, per cent: "
        rf"{ends('left', '.2g', 100)}. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, float]:
    """The same for the text."""
    return {key: float(f"{value:.3g}") for key, value in _ends(result).items()}
