"""Depth and width: what the size and the scale of a random network do to inference and to learning."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ..dynamics import escape_time
from ..inference import condition_number, equilibrium, rescaling
from ..limits import entry_variances, expected_rescaling, forward_rms
from ..model import PARAMETERISATIONS, Data, LinearPCN, layer_energies, loss
from ..plotting import COLOURS, Stage
from ._scene import Choice, Control, Scene, Slider, Toggle

__all__ = ["Sizes"]

OUTPUTS, SAMPLES = 4, 64

DEEPEST, WIDEST = 24, 16
"""The Hessian of inference has 368 rows at most, which takes 20 ms to diagonalise."""

DEPTHS = np.arange(3, 13)


class Sizes(Scene):
    """A random network of any depth and width, with as many inputs, and the data of a random teacher.

    Parameters
    ----------
    **settings
        Of `CONTROLS`: `depth`, `width`, `parameterisation`, `skips`; `precision` of the hidden layers;
        `gain`, a factor of the initial weights; `scale`, the logarithm to base ten of the size of the
        weights in the chains whose escape times are predicted; `seed`.

    Examples
    --------
    >>> Sizes(depth=8, width=16, parameterisation="mupc", skips=True).note
    'F* / loss 0.642; largest eigenvalue of S 2.42 (mean of S 1.64); condition number 284 ...'
    """

    CONTROLS: ClassVar[dict[str, Control]] = {
        "depth": Slider("depth L", 2, DEEPEST, 1, 8),
        "width": Slider("width N", 2, WIDEST, 1, 16),
        "parameterisation": Choice("scaling", tuple(PARAMETERISATIONS), "sp"),
        "skips": Toggle("skips", False),
        "precision": Slider("hidden precision", 1.0, 32.0, 0.5, 1.0),
        "gain": Slider("initial scale", 0.1, 2.0, 0.05, 1.0),
        "scale": Slider("log10 of d", -8.0, -1.0, 0.1, -3.0),
        "seed": Slider("seed", 0, 9, 1, 0),
    }

    def __init__(self, **settings: Any) -> None:
        super().__init__(Stage(10.4, 3.0), settings)

    def _build(self) -> None:
        self.spectrum, self.layers, self.forward, self.escape = self.stage.figure.subplots(1, 4)
        self.spectrum.set(
            yscale="log", ylim=(0.8, 1e4), xticks=range(1, OUTPUTS + 1), xlim=(0.5, OUTPUTS + 0.5)
        )
        self.spectrum.set_title("eigenvalues of $S$")
        self.measured = self.stage.add(self.spectrum.plot([], [], "o", color=COLOURS["pc"])[0])
        self.mean = self.stage.add(
            self.spectrum.axhline(1.0, color=COLOURS["theory"], lw=1.0, label="mean of $S$")
        )
        self.spectrum.legend(loc="upper left", fontsize=7)
        self.layers.set(
            xlim=(0, 1), ylim=(0, 1.02), xlabel="layer / L", title="share of $F^*$, up to a layer"
        )
        self.shares = self.stage.add(self.layers.plot([], [], ".-", color=COLOURS["pc"], lw=1.0)[0])
        self.forward.set(yscale="log", xlim=(0, 1), ylim=(1e-4, 1e5), xlabel="layer / L")
        self.forward.set_title("size of the forward pass")
        self.rms = self.stage.add(self.forward.plot([], [], color=COLOURS["theory"], lw=1.2)[0])
        self.escape.set(yscale="log", xlim=(2.5, 12.5), ylim=(1, 1e20), xlabel="depth L")
        self.escape.set_title("escape of a chain of weights $d$")
        self.times = {
            name: self.stage.add(self.escape.plot([], [], ".-", color=COLOURS[role], label=label)[0])
            for name, role, label in (("loss", "bp", "backprop"), ("energy", "pc", "predictive coding"))
        }
        self.escape.legend(loc="upper left", fontsize=7)

    def _update(self) -> None:
        now = self.settings
        drawn = tuple(
            now[k] for k in ("depth", "width", "parameterisation", "skips", "precision", "gain", "seed")
        )
        self.note = self._keep("network", drawn, self._network)
        self._keep("escape", (now["scale"], now["precision"]), self._escape)

    def _network(self) -> str:
        now = self.settings
        widths = (*[now["width"]] * now["depth"], OUTPUTS)
        options = {"parameterisation": now["parameterisation"], "skips": now["skips"]}
        options["init"] = now["gain"] * math.sqrt(entry_variances(widths, now["parameterisation"])[0])
        precisions = [*[now["precision"]] * (now["depth"] - 1), 1.0]
        net = LinearPCN.random(widths, precisions=precisions, rng=now["seed"], **options)
        teacher = np.random.default_rng(0).standard_normal((OUTPUTS, now["width"]))
        data = Data.teacher(teacher / math.sqrt(now["width"]), SAMPLES, rng=1).compress()
        values = np.linalg.eigvalsh(rescaling(net))
        self.measured.set_data(range(1, OUTPUTS + 1), values)
        mean = float(expected_rescaling(widths, precisions=precisions, **options)[0, 0])
        self.mean.set_ydata([mean, mean])
        solved = equilibrium(net, data)
        energies = np.asarray(layer_energies(net, solved.activities))
        layers = np.arange(net.depth + 1) / net.depth
        self.shares.set_data(layers, np.concatenate([[0.0], np.cumsum(energies) / np.sum(energies)]))
        self.rms.set_data(layers, forward_rms(widths, **options))
        return (
            f"F* / loss {float(solved.energy) / float(loss(net, data)):.3g}; largest eigenvalue of S "
            f"{values[-1]:.3g} (mean of S {mean:.3g}); condition number {condition_number(net):.3g} in the "
            f"activities, {condition_number(net, 'errors'):.3g} in the errors."
        )

    def _escape(self) -> None:
        d, precision = 10 ** self.settings["scale"], self.settings["precision"]
        for name, line in self.times.items():
            times = [escape_time((1,) * (depth + 1), d, precision, objective=name) for depth in DEPTHS]
            line.set_data(DEPTHS, np.clip(times, 1e-3, 1e300))
