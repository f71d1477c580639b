r"""Deep factorisation of all of MovieLens: exact PC against BP, by iterations, by time and by held-out error.

What to see: with two weight layers BP with weight decay ends lowest of all and sooner. With three and four BP
stays at the saddle of the origin until it overfits or diverges (weight decay would keep it there), while PC
leaves at once and ends where it does with two. PC's step costs more.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import deep_factorisation
from experiments._result import Result
from experiments._store import Meta
from figures._escapes import rounded
from pctheory import plotting

EXPERIMENT = deep_factorisation
TITLE = "Deep factorisation of MovieLens"
SOURCE = "new"
SIZE = (5.5, 4.1)
RULES = {"bp": "BP", "pc": "PC"}
LINES = ("-", "--", ":")


def draw(fig: Figure, result: Result) -> None:
    """Top: held-out error by iterations, one depth a panel. Bottom: by time, observed error, rank."""
    runs = result["runs"]
    grid = fig.add_gridspec(2, 6)
    width = 6 // len(runs)
    top = [fig.add_subplot(grid[0, width * i : width * (i + 1)]) for i in range(len(runs))]
    bottom = [fig.add_subplot(grid[1, 2 * i : 2 * (i + 1)]) for i in range(3)]
    for ax, (depth, own) in zip(top, runs.items(), strict=True):
        for rule, name in RULES.items():
            for errors in np.asarray(own[rule]["test"]):
                ax.plot(
                    steps(result, own[rule])[1:], errors[1:], color=plotting.COLOURS[rule], lw=0.8, label=name
                )
        _lines(ax, result)
        ax.set(title=f"$L = {depth}$", xscale="log", xlabel="iteration")
    top[0].set_ylabel("held-out error, stars")
    for (depth, own), line in zip(runs.items(), LINES, strict=False):
        for rule in RULES:
            color, seen = plotting.COLOURS[rule], steps(result, own[rule])[1:]
            seconds = float(np.mean(own[rule]["seconds"]))
            style: dict[str, Any] = {"color": color, "ls": line, "lw": 1.0}
            bottom[0].plot(seen * seconds, np.mean(own[rule]["test"], axis=0)[1:], **style)
            bottom[1].plot(seen, np.mean(own[rule]["train"], axis=0)[1:], **style, label=f"$L = {depth}$")
            bottom[2].plot(seen, np.mean(rank(own[rule]), axis=0)[1:], **style)
    bottom[0].set(xscale="log", xlabel="CPU seconds", ylabel="held-out error, stars")
    bottom[1].set(xscale="log", xlabel="iteration", ylabel="error in training, stars", ylim=(0.5, 1.0))
    bottom[2].set(xscale="log", xlabel="iteration", ylabel="effective rank")
    least = min(float(np.nanmin(own[rule]["test"])) for own in runs.values() for rule in RULES)
    for ax in (*top, bottom[0]):
        ax.set_ylim(least - 0.01, float(np.mean(result["means"])) + 0.06)
    _legend(fig, top[0])
    plotting.letter([*top, *bottom])


def _lines(ax: Axes, result: Result) -> None:
    ax.axhline(float(np.mean(result["means"])), color="0.6", lw=0.8, ls="--", label="means of user and film")
    if "library" in result:
        ax.axhline(
            float(np.mean(result["library"]["test"])), color=plotting.COLOURS["theory"], lw=0.8, ls=":",
            label="scikit-surprise",
        )  # fmt: skip


def _legend(fig: Figure, ax: Axes) -> None:
    """One entry a label: every split draws its own line."""
    seen: set[str] = set()
    for line in ax.lines:
        label = str(line.get_label())
        if label in seen:
            line.set_label("_" + label)
        seen.add(label)
    plotting.legend_outside(fig, ax, "bottom", ncols=4)


def steps(result: Result, run: Any) -> np.ndarray:
    """Iterations of the records."""
    return np.arange(np.asarray(run["test"]).shape[1]) * int(result["every"])


def rank(run: Any) -> np.ndarray:
    """Effective rank of the whole map, the exponential of the entropy of its normalised singular values."""
    values = np.asarray(run["singular"])
    shares = values / values.sum(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(shares > 0, shares * np.log(shares), 0.0)
    return np.asarray(np.exp(-terms.sum(axis=-1)))


def stopped(run: Any) -> np.ndarray:
    """Held-out error of each split at the step of its lowest validation error."""
    at = np.nanargmin(np.asarray(run["valid"]), axis=1)
    return np.asarray(run["test"])[np.arange(len(at)), at]


def fastest(result: Result, depth: str, rule: str, level: float) -> tuple[float, float]:
    """Fewest iterations of any rate and decay to a validation error, and their CPU seconds."""
    run = result["runs"][depth][rule]
    reached = np.asarray(run["trials"]) <= level
    first = [int(np.argmax(row)) * int(result["every"]) for row in reached if row.any()]
    found = float(min(first)) if first else np.inf
    return found, found * float(run["trial_seconds"])


def shared_level(result: Result, depth: str) -> float:
    """The lowest validation error that both rules reach in the trials."""
    own = result["runs"][depth]
    return max(float(np.nanmin(own[rule]["trials"])) for rule in RULES)


def verdict(result: Result) -> str:
    """Which rule finds the lowest held-out error, and where BP finds nothing."""
    own, means = result["runs"].values(), float(np.mean(result["means"]))
    ends = [{rule: float(stopped(runs[rule]).mean()) for rule in RULES} for runs in own]
    best = {rule: min(end[rule] for end in ends) for rule in RULES}
    lower = sum(end["pc"] < end["bp"] for end in ends)
    stuck = sum(end["bp"] > means - 1e-3 for end in ends)
    where = "at every depth" if lower == len(ends) else f"at {lower} of {len(ends)} depths"
    return (
        f"Exact PC {'is' if best['pc'] < best['bp'] else 'is not'} the better way to factorise the ratings: "
        f"it ends lower than BP {where}, and at {stuck} BP is no better than the means."
    )


def edges(result: Result, meta: Meta) -> str:
    """The rules and depths whose rate was chosen at an end of the grid."""
    ends = (min(meta.config["rates"]), max(meta.config["rates"]))
    found = [
        f"{rule.upper()} {d}"
        for d, own in result["runs"].items()
        for rule in RULES
        if own[rule]["rate"] in ends
    ]
    return f" Rate at an end of the grid: {', '.join(found)}." if found else ""


def caption(result: Result, meta: Meta) -> str:
    """The verdict, the errors, the cost."""
    n, c = numbers(result), meta.config
    errors = "; ".join(f"$L = {d}$: {n[f'pc-{d}']} and {n[f'bp-{d}']}" for d in result["runs"])
    library = f"; scikit-surprise {n['library']}" if "library" in result else ""
    return (
        f"{verdict(result)} Hidden width {c['width']}, $\\sigma = {c['init']:g}$, full batch; 80% of the "
        f"ratings train, 10% choose rate and decay, {c['seeds']} splits. (a-c) Error on the last 10%. (d) By "
        "time, (e) in training, (f) effective rank; solid, dashed, dotted: $L$. Where the validation error "
        f"is lowest, PC and BP: {errors}; means {n['means']}{library}. A step of PC costs {n['step-ratio']} "
        f"of BP's. {edges(result, meta)} ({meta.setting}.)"
    )


def numbers(result: Result) -> dict[str, str | float]:
    """Held-out errors, iterations and times to the error that both reach, cost of a step."""
    found: dict[str, str | float] = {"means": f"{float(np.mean(result['means'])):.4f}"}
    if "library" in result:
        found["library"] = f"{float(np.mean(result['library']['test'])):.4f}"
        found["library-seconds"] = rounded(float(np.mean(result["library"]["seconds"])))
    costs = []
    for depth, own in result["runs"].items():
        level = shared_level(result, depth)
        reach = {rule: fastest(result, depth, rule, level) for rule in RULES}
        for rule in RULES:
            found[f"{rule}-{depth}"] = f"{stopped(own[rule]).mean():.4f}"
            found[f"{rule}-{depth}-rate"] = float(own[rule]["rate"])
            found[f"{rule}-{depth}-decay"] = float(own[rule]["decay"])
            found[f"{rule}-{depth}-iterations"] = reach[rule][0]
        found[f"time-ratio-{depth}"] = rounded(reach["bp"][1] / reach["pc"][1]) if reach["pc"][1] else "inf"
        costs.append(float(np.mean(own["pc"]["seconds"])) / float(np.mean(own["bp"]["seconds"])))
    found["step-ratio"] = rounded(float(np.median(costs)))
    return found
