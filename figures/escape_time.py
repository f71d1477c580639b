r"""Times and iterations to leave small weights: predicted lines over measured points.

A faithful run sees PC's times on straight lines of slope L - 2 in log(1/d), the loss's times rise with a
power of 1/d, the ratio of measured and predicted times tend to 1, and tens of iterations of descent where the
loss needs a power of 1/d.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import escape_time
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded, span
from pctheory import plotting

EXPERIMENT = escape_time
TITLE = "Predictive coding leaves small weights in the time of a power of a logarithm"
SOURCE = "new"
SIZE = (5.5, 4.3)
_MARKS = "osD^vP"
_BLUE, _GREY = plotting.COLOURS["pc"], plotting.COLOURS["bp"]


def draw(fig: Figure, result: Result) -> None:
    """Chains at unit and at the best precision, their ratio to the formula; descent; dense and nonlinear
    networks.
    """
    axes = fig.subplots(2, 3)
    _chains(axes[0, 0], result, "unit")
    _chains(axes[0, 1], result, "tuned")
    _ratios(axes[0, 2], result)
    _descent(axes[1, 0], result)
    _dense(axes[1, 1], result)
    _networks(axes[1, 2], result)
    axes[0, 0].set_title(r"chains, $\pi = 1$")
    axes[0, 1].set_title(r"chains, best $\pi$")
    axes[0, 2].set_title("measured over predicted")
    axes[1, 0].set_title("chains, descent in steps")
    axes[1, 1].set_title("dense networks")
    axes[1, 2].set_title("nonlinear networks")
    plotting.letter(axes)


def _chains(ax: Axes, result: Result, precision: str) -> None:
    at = np.asarray(result["exponents"])
    table = result["chain"]
    top = 10 * float(np.max(table["unit_time"]))
    ax.set_xscale("log")
    ax.set_yscale("log")
    for row, depth in enumerate(result["depths"]):
        marker = _MARKS[row]
        ax.plot(at, table[f"{precision}_time"][row], marker, ms=3.2, color=_BLUE)
        plotting.theory(ax, at, table[f"{precision}_predicted"][row], label=None)
        shown = np.asarray(table["loss_predicted"][row]) < 1e3 * top
        lines = result["loss_lines"]
        plotting.theory(
            ax, lines["exponents"], lines["times"][str(depth)], label=None, linestyle="--", linewidth=0.7
        )
        ax.plot(at[shown], table["loss_time"][row][shown], marker, ms=3.2, color=_GREY)
        _label(ax, depth, at[-1], table[f"{precision}_time"][row, -1], _BLUE)
    ax.set_xlim(0.8, 12 * at[-1])
    ax.set_ylim(1, top)
    ax.set_xlabel(r"$\log_{10}(1/d)$")
    ax.set_ylabel("time of escape")
    ax.text(0.38, 0.97, "BP", transform=ax.transAxes, color=_GREY, fontsize=8, va="top")


def _label(ax: Axes, depth: int, x: float, y: float, colour: str) -> None:
    _say(ax, f"$L = {depth}$", x, y, colour)


def _say(ax: Axes, text: str, x: float, y: float, colour: str) -> None:
    """A word to the right of the end of a line."""
    ax.annotate(
        text, (x, y), (4, 0), textcoords="offset points", fontsize=7, color=colour, ha="left", va="center"
    )


def _ratios(ax: Axes, result: Result) -> None:
    at, table = np.asarray(result["exponents"]), result["chain"]
    ax.axhline(1, color=plotting.COLOURS["theory"], lw=0.9)
    for row, depth in enumerate(result["depths"]):
        for precision, face in (("unit", _BLUE), ("tuned", "white")):
            ratio = np.asarray(table[f"{precision}_time"][row]) / np.asarray(
                table[f"{precision}_predicted"][row]
            )
            ax.plot(
                at,
                ratio,
                _MARKS[row] + "-",
                ms=3.2,
                lw=0.6,
                color=_BLUE,
                mfc=face,
                mew=0.7,
                label=f"$L = {depth}$",
            )
    ax.set_xscale("log")
    ax.set_xlabel(r"$\log_{10}(1/d)$")
    ax.set_ylabel("ratio of times")
    ax.legend(
        handles=ax.lines[1::2],
        fontsize=7,
        loc="upper right",
        handlelength=1.2,
        borderpad=0.2,
        labelspacing=0.2,
    )


def _descent(ax: Axes, result: Result) -> None:
    at, table = np.asarray(result["descent_exponents"]), result["descent"]
    for row, depth in enumerate(result["descent_depths"]):
        ax.semilogy(at, table["pc_steps"][row], _MARKS[row] + "-", ms=3.2, lw=0.6, color=_BLUE)
        ax.semilogy(at, table["bp_steps"][row], _MARKS[row], ms=3.2, color=_GREY)
        plotting.theory(ax, at, table["bound"][row], label=None, linestyle="--", linewidth=0.7)
        _label(ax, depth, at[-1], table["bound"][row, -1], _GREY)
    _say(ax, "PC", at[-1], np.median(table["pc_steps"][:, -1]), _BLUE)
    ax.set_xlim(0.7 * at[0], 1.3 * at[-1])
    ax.set_ylim(3, None)
    ax.set_xlabel(r"$\log_{10}(1/d)$")
    ax.set_ylabel("fewest iterations")


def _dense(ax: Axes, result: Result) -> None:
    at = np.asarray(result["dense_exponents"])
    for row, depth in enumerate(result["dense_depths"]):
        for rule, colour in (("bp", _GREY), ("pc", _BLUE)):
            for seed in result["dense"][rule][row]:
                ax.semilogy(at, seed, _MARKS[row], ms=3.2, color=colour, mfc="none", mew=0.7)
            style = "-" if rule == "pc" else "--"
            plotting.theory(ax, at, result["dense_chain"][rule][row], label=None, linestyle=style)
        _label(ax, depth, at[-1], result["dense_chain"]["pc"][row, -1], _BLUE)
    ax.set_xlim(0.7 * at[0], 1.3 * at[-1])
    ax.set_ylim(2, 30 * np.nanmax(result["dense_chain"]["pc"]))
    ax.text(0.5, 0.93, "BP", transform=ax.transAxes, color=_GREY, fontsize=8, va="top")
    ax.set_xlabel(r"$\log_{10}(1/d)$")
    ax.set_ylabel("time of escape")


def _networks(ax: Axes, result: Result) -> None:
    at = 1 / np.asarray(result["gains"])
    ax.set_xscale("log")
    ax.set_yscale("log")
    for name, marker, style in (("tanh", "o", "-"), ("relu", "s", ":")):
        for rule, colour in (("bp", _GREY), ("pc", _BLUE)):
            for counts in np.asarray(result["network"][name][rule], dtype=float):
                reached = np.where(np.isfinite(counts), counts, np.nan)
                ax.plot(at, reached, marker + style, ms=3.2, lw=0.7, color=colour)
    first = np.median(np.asarray(result["network"]["tanh"]["bp"], dtype=float)[:, 0])
    power = (at / at[0]) ** (result["network_depth"] - 2)
    plotting.theory(ax, at, first * power, label=None, linestyle="--", linewidth=0.7)
    ax.set_xticks(at, [f"{a:.0f}" for a in at])
    ax.minorticks_off()
    ax.set_xlabel("1 / gain of the weights")
    ax.set_ylabel("iterations, best rate")
    plotting.note(ax, "tanh: solid\nReLU: dotted", "upper left")


def _final(result: Result, precision: str) -> np.ndarray:
    table = result["chain"]
    return np.asarray(table[f"{precision}_time"])[:, -1] / np.asarray(table[f"{precision}_predicted"])[:, -1]


def caption(result: Result, meta: Meta) -> str:
    """What is measured, what is predicted."""
    found = numbers(result)
    return (
        r"PC (blue) leaves weights of size d in a time that is a power of log(1/d), BP (grey) in a power "
        r"of 1/d. (a, b) Chains; black: the theorem. (c) Their ratio; filled: $\pi = 1$, open: best; at "
        rf"the smallest d {found['ratio-unit']} and {found['ratio-tuned']}. (d) Best rate, residual "
        rf"{meta.config['tolerance']:g}: PC takes {found['pc-steps']} iterations; dashed: bound for BP. (e) "
        rf"Random weights, N = {meta.config['dense_width']}; black: the chain. (f) "
        rf"{meta.config['hidden_layers']} hidden layers, digits, {meta.config['seeds']} seeds; dashed: "
        rf"slope 2. ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Iterations at the smallest weights, ratios of measured to predicted times, and the gain of the best
    precision.
    """
    table, steps = result["chain"], result["descent"]
    nets = result["network"]
    return {
        "pc-steps": ", ".join(f"{n:.0f}" for n in np.asarray(steps["pc_steps"])[:, -1]),
        "bp-bound": ", ".join(_power(n) for n in np.asarray(steps["bound"])[:, -1]),
        "ratio-unit": span(_final(result, "unit"), digits=3),
        "ratio-tuned": span(_final(result, "tuned"), digits=3),
        "dense-ratio": span(
            np.asarray(result["dense"]["pc"])[..., -1] / np.asarray(result["dense_chain"]["pc"])[:, None, -1]
        ),
        **{f"{name}-{rule}": _count(nets[name][rule]) for name in ("tanh", "relu") for rule in ("pc", "bp")},
        "tuned-gain": rounded(
            float(np.max(np.asarray(table["unit_time"]) / np.asarray(table["tuned_time"])))
        ),
    }


def _count(counts: np.ndarray) -> str:
    return span(np.asarray(counts, dtype=float)[:, -1], digits=4)


def _power(number: float) -> str:
    """The number as a digit, one decimal and a power of ten."""
    digits, _, exponent = f"{number:.1e}".partition("e")
    return rf"${digits} \times 10^{{{int(exponent)}}}$"
