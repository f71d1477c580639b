"""How activities are relaxed, and what comes of it: the settings and the result of inference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .. import _check

__all__ = ["CONVENTIONS", "INITS", "METHODS", "InferenceResult", "InferenceSettings"]

METHODS = ("gd", "momentum", "adam", "euler", "heun", "error", "gauss-newton")


INITS = ("feedforward", "zeros", "random")


CONVENTIONS = ("per-sample", "batch-mean")


@dataclass(frozen=True)
class InferenceSettings:
    r"""How the activities are relaxed.

    Attributes
    ----------
    method : str
        "gd": :math:`z \leftarrow z - g\,\nabla`. "momentum": heavy ball. "adam". "euler": the same map as "gd", read as
        the activity ODE :math:`\dot z = -\nabla` with dt = `step`. "heun": that ODE to time `t_max`, with adaptive steps.
        "error": gradient descent on the prediction errors (ePC), each step a forward and a backward pass.
        "gauss-newton": Newton-Krylov steps, preconditioned by the exact Gauss-Newton step in error coordinates; with ReLU exact
        steps of a model in which units come to rest at their kinks.
    step : float
        Step g of the descents, learning rate of "adam", first dt of "heun". Not used by "gauss-newton".
    num_steps : int, optional
        Steps to take at most. None: the number of hidden layers H (of "heun" and "gauss-newton": 100000 and 100).
    convention : "per-sample" or "batch-mean"
        What :math:`\nabla` is: the gradient of each sample's own energy, or that of the batch mean F, which is B times
        smaller. Many published step sizes are for the latter.
    init : "feedforward", "zeros" or "random"
        Hidden activities at the start; "random" is N(0, 1).
    tolerance : float, optional
        Stop when the norm of the gradient is at most this fraction of its norm at the start.
    decay : float
        Decay of the activities: adds `decay` times z to the per-sample gradient of hidden layers.
    momentum, betas, epsilon : float, (float, float), float
        Of "momentum" and "adam".
    t_max, rtol, atol : float
        Of "heun": final time, and tolerances on the embedded Euler error (root mean square over all activities).
    record : int
        Record energy and gradient norm every so many steps; 0: at the end only.
    """

    method: str = "gd"
    step: float = 0.1
    num_steps: int | None = None
    convention: str = "per-sample"
    init: str = "feedforward"
    tolerance: float | None = None
    decay: float = 0.0
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    t_max: float | None = None
    rtol: float = 1e-6
    atol: float = 1e-9
    record: int = 0

    def __post_init__(self) -> None:
        _check.choice(self.method, "method", METHODS)
        _check.choice(self.convention, "convention", CONVENTIONS)
        _check.choice(self.init, "init", INITS)
        for name in ("step", "epsilon", "rtol", "atol"):
            _check.positive(getattr(self, name), name)
        _check.non_negative(self.decay, "decay")
        _check.count(self.record, "record")
        if self.num_steps is not None:
            _check.count(self.num_steps, "num_steps")
        if self.tolerance is not None:
            _check.positive(self.tolerance, "tolerance")
        for name, value in (
            ("momentum", self.momentum),
            ("betas[0]", self.betas[0]),
            ("betas[1]", self.betas[1]),
        ):
            if not 0 <= _check.real(value, name) < 1:
                raise ValueError(f"`{name}` must be at least 0 and less than 1. Got {value:g}.")
        if self.method == "heun":
            if self.t_max is None:
                raise ValueError(
                    "`t_max` must be given for method 'heun': the time to integrate to. Got None."
                )
            _check.positive(self.t_max, "t_max")
        if self.decay and self.method in ("error", "gauss-newton"):
            raise ValueError(
                f"`decay` must be 0 for method {self.method!r}: it solves for the energy alone. Got {self.decay:g}."
            )


@dataclass(frozen=True, eq=False, repr=False)
class InferenceResult:
    r"""Where inference ended, and how it got there.

    Attributes
    ----------
    activities : (z_0, ..., z_L), each (B, n_l)
    energies, gradient_norms : (M,) numpy arrays
        Energy F and norm of :math:`\partial F/\partial z` over the free layers, at the recorded steps; the last at the end.
    steps, times : (M,) numpy arrays
        Number of steps done at each record, and (of descents and ODEs) the time step * g, or the ODE's time.
    num_steps : int
    num_passes : float
        Work in units of one gradient of all samples in all activities: one forward and one backward sweep.
    converged : bool or None
        Whether the last gradient norm is within `tolerance` of the first; None when no tolerance was asked.
    message : str
        Why inference stopped.
    """

    activities: tuple[Tensor, ...]
    energies: np.ndarray
    gradient_norms: np.ndarray
    steps: np.ndarray
    times: np.ndarray
    num_steps: int
    num_passes: float
    converged: bool | None
    message: str

    @property
    def energy(self) -> float:
        """F at the end."""
        return float(self.energies[-1])

    def __repr__(self) -> str:
        return (
            f"InferenceResult(energy {self.energy:.6g}, gradient norm {self.gradient_norms[-1]:.2e}, "
            f"{self.num_steps} steps, {self.message})"
        )
