r"""The theory on one page: what a predictive coding network is, and what follows, each step with its picture.

What to see: a network whose hidden activities are free; the minimum of its energy; what remains is a function
:math:`F^*` of the weights alone; its saddles all slope downwards; so learning leaves them sooner; in wide
networks the difference to backpropagation vanishes.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import map_of_the_theory
from experiments._result import Result
from experiments._store import Meta
from figures import _names
from pctheory import plotting

EXPERIMENT = map_of_the_theory
TITLE = "Predictive coding on one page"
SOURCE = "new"
SIZE = (5.5, 7.0)
_FOUND = "#3a5f3a"
_BP, _PC = plotting.COLOURS["bp"], plotting.COLOURS["pc"]
_HEADS = (
    (
        "A network with free hidden activities",
        r"$F = \frac{1}{2}\, \Sigma_l\, |\epsilon_l|^2$,  $\epsilon_l = z_l - W_l z_{l-1}$",
    ),
    ("Inference: they settle at $z^*$", r"$\epsilon_l^* = P_l^T S^{-1} r$"),
    (
        "Left is $F^*$, a function of the weights",
        r"$F^* = \frac{1}{2}\, r^T S^{-1} r$,  $S = \Sigma_l\, P_l P_l^T$",
    ),
    ("All its saddles slope downwards", "on data that a linear map fits"),
    ("So learning leaves them sooner", "first the energy falls, then the loss: $S$ grows"),
    ("In wide networks BP is back", r"in $\mu$PC $S \to I$, so $F^* \to \mathcal{L}$"),
)
"""What each panel says, and the formula behind it."""


def draw(fig: Figure, result: Result) -> None:
    """Six steps in reading order."""
    grid = fig.add_gridspec(3, 2)
    inner = grid[0, 0].subgridspec(2, 1, height_ratios=(1.5, 1.0), hspace=0.0)
    net, errors = fig.add_subplot(inner[0]), fig.add_subplot(inner[1])
    axes = [net, *(fig.add_subplot(grid[k // 2, k % 2]) for k in range(1, 6))]
    _network(net, errors, result["network"])
    for ax, panel, name in zip(
        axes[1:],
        (_inference, _energy, _critical, _flows, _limit),
        ("inference", "saddle", "critical", "flows", "limit"),
        strict=True,
    ):
        panel(ax, result[name])
    for ax, (head, formula), found in zip(axes, _HEADS, _verdicts(result), strict=True):
        ax.set_title(head, fontweight="bold", pad=27, fontsize=8.5)
        for text, above, colour in ((formula, 14, plotting.COLOURS["ink"]), (found, 3, _FOUND)):
            ax.annotate(
                text,
                (0.5, 1.0),
                xytext=(0, above),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7.5,
                color=colour,
            )
    plotting.letter(axes)


def _verdicts(result: Result) -> list[str]:
    """What was found, by panel."""
    n = numbers(result)
    before, after = (np.asarray(result["network"][name], dtype=float) for name in ("before", "after"))
    return [
        rf"found: $F$ from {before @ before / 2:.2f} down to {after @ after / 2:.2f}",
        rf"found: no slope is left, $|\nabla F| <$ {_bound(float(result['network']['gradient']))}",
        rf"found: curvature at the origin ${n['bp-origin']}$ and ${n['pc-origin']}$",
        (
            rf"found: not strict {n['bp-flat']} of {n['bp-points']} ($\mathcal{{L}}$), {n['pc-flat']} of "
            rf"{n['pc-points']} ($F^*$)"
        ),
        f"found: loss halved at {n['bp-half']} (BP) and {n['pc-half']} (PC)",
        f"found: exponent ${n['slope']}$ (theory: $-2$)",
    ]


def _bound(value: float) -> str:
    """The next power of ten."""
    return rf"$10^{{{int(np.ceil(np.log10(max(value, 1e-17))))}}}$"


def _network(ax: Axes, errors: Axes, found: Result) -> None:
    """Above: the units, coloured by their activities at equilibrium, and the weights. Below: the errors."""
    layers = [np.asarray(found["activities"][str(k)]) for k in range(len(found["activities"]))]
    top = max(float(np.max(np.abs(z))) for z in layers)
    places = [
        np.column_stack([np.full(len(z), k), np.arange(len(z)) - (len(z) - 1) / 2])
        for k, z in enumerate(layers)
    ]
    for k, weights in found["weights"].items():
        matrix = np.asarray(weights)
        for (i, j), value in np.ndenumerate(matrix):
            ends = np.array([places[int(k) - 1][j], places[int(k)][i]])
            width = 1.6 * abs(value) / float(np.max(np.abs(matrix)))
            ax.plot(*ends.T, color=plotting.COLOURS["quiet"], lw=width, zorder=1)
    for place, z in zip(places, layers, strict=True):
        ax.scatter(
            *place.T,
            c=z,
            cmap=plotting.DIVERGING,
            vmin=-top,
            vmax=top,
            s=52,
            edgecolors="black",
            lw=0.5,
            zorder=2,
        )
    last = len(layers) - 1
    names = {0: "$x$", last: "$y$", **{k: f"$z_{k}$" for k in range(1, last)}}
    for k, name in names.items():
        ax.text(k, -2.6, name, ha="center", va="center", fontsize=8)
    ax.set(xlim=(-0.5, last + 0.5), ylim=(-2.9, 2.0))
    ax.set_axis_off()
    at = np.arange(1, last + 1)
    errors.bar(at - 0.17, found["before"], 0.3, color=_BP)
    errors.bar(at + 0.17, found["after"], 0.3, color=_PC)
    errors.set(xlim=(-0.5, last + 0.5), xticks=at, xlabel="layer $l$", ylabel=r"$|\epsilon_l|$")
    errors.text(0.03, 0.78, "forward pass", color=_BP, transform=errors.transAxes, fontsize=7.5)
    errors.text(0.03, 0.48, "at $z^*$", color=_PC, transform=errors.transAxes, fontsize=7.5)


def _inference(ax: Axes, found: Result) -> None:
    values = np.asarray(found["values"])
    levels = np.geomspace(float(values.min()) * 1.02, float(values.max()), 14)
    ax.contourf(
        found["first"], found["second"], values, levels=levels, cmap=plotting.LANDSCAPE, extend="both"
    )
    ax.plot(*np.asarray(found["path"]).T, color="white", lw=2.6)
    ax.plot(*np.asarray(found["path"]).T, color=_PC, lw=1.3)
    start, end = np.asarray(found["path"])[0], np.asarray(found["minimum"])
    ax.plot(*start, "o", mfc="white", mec="black", ms=4.5)
    ax.plot(*end, "*", color="black", ms=8, mec="white")
    ax.text(start[0], start[1] + 0.1, "forward pass", ha="right", fontsize=7.5)
    ax.text(end[0] - 0.08, end[1], "$z^*$", ha="right", va="center", fontsize=8.5, color="white")
    ax.set(xlabel="$z_1$", ylabel="$z_2$")


def _energy(ax: Axes, found: Result) -> None:
    at = np.asarray(found["at"])
    for rule, colour in (("bp", _BP), ("pc", _PC)):
        ax.plot(at, found["all"][rule], color=colour)
        ax.plot(at, found["last"][rule], "--", color=colour)
    ax.plot(0, found["all"]["bp"][len(at) // 2], "o", mfc="white", mec="black", ms=4.5)
    ax.text(-1.35, found["last"]["bp"][0] + 0.04, r"$\mathcal{L}$", color=_BP)
    ax.text(-1.35, found["last"]["pc"][0] + 0.07, "$F^*$", color=_PC)
    ax.set(xlabel="distance from the origin of the weights", ylabel=r"$\mathcal{L}$ and $F^*$", ylim=(0, 1.0))
    ax.text(0, 0.03, "solid: all weights\ndashed: the last alone", ha="center", fontsize=7)


def _critical(ax: Axes, found: Result) -> None:
    ax.axhline(0, color=plotting.COLOURS["quiet"], lw=0.6)
    for rule, colour, marker, name in (("bp", _BP, "s", r"$\mathcal{L}$"), ("pc", _PC, "o", "$F^*$")):
        ax.plot(found[rule]["value"], found[rule]["curvature"], marker, color=colour, ms=4, alpha=0.8, mew=0)
        flat = ~np.asarray(found[rule]["strict"], dtype=bool)
        ax.plot(
            np.asarray(found[rule]["value"])[flat],
            np.asarray(found[rule]["curvature"])[flat],
            "o",
            mfc="none",
            mec="black",
            ms=9,
        )
        k = int(np.argmin(found[rule]["curvature"]))
        x, y = float(found[rule]["value"][k]), float(found[rule]["curvature"][k])
        ax.annotate(
            name, (x, y), xytext=(-5, 0), textcoords="offset points", ha="right", va="center", color=colour
        )
    ax.set_yscale("symlog", linthresh=0.1)
    ax.set(xlabel="value at the critical point", ylabel=r"least curvature $\lambda_{\min}$", ylim=(None, 0.1))


def _flows(ax: Axes, found: Result) -> None:
    times = np.asarray(found["times"])
    ax.plot(times, found["bp"]["bp"], color=_BP)
    ax.plot(times, found["pc"]["bp"], color=_PC)
    ax.plot(times, found["pc"]["pc"], ":", color=_PC)
    ax.text(_when(found, "bp", "bp") + 1, 0.3, r"$\mathcal{L}$ of BP", color=_BP, fontsize=7.5)
    ax.text(_when(found, "pc", "bp") + 1, 0.3, r"$\mathcal{L}$ of PC", color=_PC, fontsize=7.5)
    ax.text(0.6, 0.06, "$F^*$", color=_PC, fontsize=7.5)
    ax.set(
        xlabel="training time $t$", ylabel=r"$\mathcal{L}$ and $F^*$", ylim=(0, 0.56), xlim=(0, times[-1] / 2)
    )


def _when(found: Result, rule: str, objective: str) -> float:
    """When an objective is down to half of its first value, along the flow of a rule."""
    values = np.asarray(found[rule][objective])
    return float(np.asarray(found["times"])[int(np.argmax(values <= values[0] / 2))])


def _limit(ax: Axes, found: Result) -> None:
    widths, distance = np.asarray(found["widths"], dtype=float), np.asarray(found["distance"])
    ax.set(xscale="log", yscale="log")
    plotting.spread(ax, widths, distance, _PC, marker="o")
    guide = distance.mean(axis=0)[-1] * (widths / widths[-1]) ** -2
    plotting.theory(ax, widths[1:], guide[1:], label=None)
    ax.text(
        widths[len(widths) // 3],
        1.4 * guide[len(widths) // 3],
        "$N^{-2}$",
        fontsize=8,
        ha="left",
        va="bottom",
    )
    plotting.log2_axis(ax, "x")
    ax.set(xlabel="width $N$", ylabel=r"$1 - \cos(\nabla F^*, \nabla \mathcal{L})$")


def numbers(result: Result) -> dict[str, str | float]:
    """Critical points found and flat ones by objective; times; slope of the limit; condition numbers."""
    found: dict[str, str | float] = {}
    for rule in ("bp", "pc"):
        points = result["critical"][rule]
        found[f"{rule}-points"] = len(points["value"])
        found[f"{rule}-flat"] = int(np.sum(~np.asarray(points["strict"], dtype=bool)))
        found[f"{rule}-half"] = f"{_when(result['flows'], rule, 'bp'):.1f}"
    found["pc-energy-half"] = f"{_when(result['flows'], 'pc', 'pc'):.1f}"
    widths, distance = (np.asarray(result["limit"][name], dtype=float) for name in ("widths", "distance"))
    half = slice(len(widths) // 2, None)
    slope = (
        np.polyfit(np.log(widths[half]), np.log(distance.mean(axis=0)[half]), 1)[0]
        if len(widths) > 2
        else 0.0
    )
    found["slope"] = f"{slope:.2f}"
    for name in ("activities", "errors"):
        found[f"condition-{name}"] = f"{float(np.asarray(result['conditioning'][name])[-1]):.2g}"
    at = np.asarray(result["saddle"]["at"])
    for rule in ("bp", "pc"):
        values, middle = np.asarray(result["saddle"]["last"][rule]), len(at) // 2
        bend = (values[middle + 1] - 2 * values[middle] + values[middle - 1]) / (at[1] - at[0]) ** 2
        found[f"{rule}-origin"] = f"{round(float(bend), 2) + 0.0:g}"
    found["depth"] = int(np.asarray(result["conditioning"]["depths"])[-1])
    return found


def caption(result: Result, meta: Meta) -> str:
    """What a predictive coding network is, and a verdict on each step."""
    n, c = numbers(result), meta.config
    activities = float(str(n["condition-activities"]))
    return (
        "Predictive coding is gradient descent on $F^*$, the least energy of a network whose hidden "
        "activities are free. (a) Circles: activities at $z^*$; bars: inference shares the output's error "
        "among the layers. (b) Two hidden units; blue: a descent. In a residual "
        rf"$\mu$PC network of {n['depth']} layers the condition number is {activities:.0f} in activities, "
        rf"{n['condition-errors']} in errors. (c) A plateau of the loss becomes a slope. (d) Critical points "
        "that a search finds; ringed: not strict. (e) A chain of "
        rf"{c['flow_depth']} weights from {c['flow_start']:g}; the energy is halved at "
        rf"{n['pc-energy-half']}. The lead belongs to small weights. (f) At initialisation, $L = "
        rf"{c['network_depth']}$, {_names.seeds(c)}; with hidden precisions $L / (\alpha N)$ a difference "
        rf"stays. ({meta.setting}.)"
    )
