r"""The predictive coding network as a torch module: any activation, skips, parameterisation, precision and
output energy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import _check
from ..model import LinearPCN, parameterisation
from ..model.definitions import require_plain_units
from ._activation import Activation, activation
from ._definition import Definition
from ._rows import checked_activities, checked_dtype, checked_precisions
from ._stacked import Errors, StackedNetwork, State, gathered, stacks_of, weight_by
from .layers import (
    Convolution,
    Image,
    Operator,
    initial_biases,
    initial_weights,
    operators_of,
    require_same_images,
    widths_of,
)

__all__ = ["OUTPUTS", "PCN"]

OUTPUTS = ("mse", "cross-entropy")


class PCN(Definition):
    r"""A predictive coding network :math:`z_l = a_l W_l \phi(z_{l-1}) + b_l + \tau_l z_{l-1} + \epsilon_l`.

    The activation comes before the matrix, and :math:`\phi` is the identity on the input layer. The energy is

    .. math:: F(z) = \frac{1}{2B} \sum_{i=1}^{B} \sum_{l=1}^{L} \epsilon_l^T \Pi_l \epsilon_l,

    or, with ``output="cross-entropy"``, the same sum over l < L plus the batch mean of the cross-entropy
    between the targets and the softmax of layer L's prediction (times the output precision, a number).

    Parameters
    ----------
    widths : (n_0, ..., n_L)
        For n_0 also an `Image`, and for a layer above an image a `Convolution`. Its parameter is the kernel,
        whose matrix is :math:`W_l` above. Activities stay rows (B, n_l): images are flattened, channel first.
    activation : str
        "linear", "tanh", "relu", "gelu" or any elementwise function of `torch.nn.functional`.
    bias : bool
        Whether layers have biases :math:`b_l`, which no multiplier scales. They start at zero, and with
        `init` "torch" as those of `torch.nn.Linear`.
    parameterisation, skips, gamma, init : see `pctheory.LinearPCN.random`
    output : "mse" or "cross-entropy"
    precisions : None or L of: None, number, vector (n_l,), matrix (n_l, n_l)
        :math:`\Pi_l`, 1 by default.
    rng : numpy.random.Generator or int
    dtype : torch.dtype, optional
        torch's default dtype when None. Weights are drawn in float64 and rounded.
    device : optional

    Attributes
    ----------
    weights : torch.nn.ParameterList
        :math:`W_1, \dots, W_L`. Equal hidden layers share one storage, so that inference multiplies them in
        batches without copying; each remains a parameter of its own.
    biases : torch.nn.ParameterList
        :math:`b_1, \dots, b_L`, of a convolution one number a channel; empty without biases.

    Notes
    -----
    Gradients are in the order of `parameters()`: the weights', then the biases' if there are any.

    Examples
    --------
    >>> model = PCN((4, 8, 8, 2), activation="relu", parameterisation="mupc", skips=True, rng=0)
    >>> model
    PCN(4 -> 8 -> 8 -> 2, relu, mse, 112 weights, skips on layers 2)
    >>> [tuple(z.shape) for z in model.feedforward(torch.ones(3, 4))]
    [(3, 4), (3, 8), (3, 8), (3, 2)]
    >>> layers = (Image(3, 32, 32), Convolution(16, stride=2), Convolution(32, stride=2), 10)
    >>> PCN(layers, activation="relu", rng=0)
    PCN(3x32x32 -> 16x16x16 -> 32x8x8 -> 10, relu, mse, 25520 weights)
    """

    def __init__(
        self,
        widths: Iterable[int | Image | Convolution],
        *,
        activation: str = "linear",
        bias: bool = False,
        parameterisation: str = "sp",
        skips: bool | Iterable[bool] = False,
        gamma: float = 1.0,
        init: str | float | None = None,
        output: str = "mse",
        precisions: Sequence[Any] | None = None,
        rng: np.random.Generator | int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        operators = operators_of(widths)
        sizes, fan_ins = widths_of(operators), [o.fan_in for o in operators]
        pattern = _parameterisation.skip_pattern(sizes, skips)
        multipliers = _parameterisation.multipliers(
            sizes, parameterisation, skips=pattern, gamma=gamma, fan_ins=fan_ins
        )
        generator = _check.generator(rng)
        weights = initial_weights(operators, parameterisation, init, generator)
        biases = initial_biases(operators, init, generator) if _check.flag(bias, "bias") else []
        self._build(
            operators, weights, biases, multipliers, pattern, activation, output, precisions, dtype, device
        )
        self.parameterisation: str | None = parameterisation
        self.gamma: float | None = float(gamma)

    @classmethod
    def from_weights(
        cls,
        weights: Sequence[Any],
        *,
        biases: Sequence[Any] | None = None,
        activation: str = "linear",
        multipliers: Sequence[float] | None = None,
        skips: bool | Iterable[bool] | None = None,
        output: str = "mse",
        precisions: Sequence[Any] | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> PCN:
        r"""The network with the given weights :math:`W_l` and biases :math:`b_l` (arrays of any library) and
        multipliers :math:`a_l`.

        Returns
        -------
        PCN
            Of those maps, a_l W_l.

        Raises
        ------
        TypeError
            If `weights` is not a list or tuple.

        Examples
        --------
        >>> PCN.from_weights([[[2.0]], [[3.0]]])(torch.ones(1, 1)).item()
        6.0
        """
        if not isinstance(weights, list | tuple):
            raise TypeError(
                f"`weights` must be a list or tuple of matrices, one per layer. Got {type(weights).__name__}."
            )
        host = [_check.to_numpy(w, f"W_{layer}") for layer, w in enumerate(weights, start=1)]
        shifts = None
        if biases is not None:
            listed = _check.sequence(biases, "biases", "a list or tuple of vectors")
            shifts = [_check.to_numpy(b, f"b_{layer}") for layer, b in enumerate(listed, start=1)]
        return cls.from_linear(
            LinearPCN(host, biases=shifts, multipliers=multipliers, skips=skips, precisions=precisions),
            activation=activation,
            output=output,
            dtype=dtype,
            device=device,
        )

    @classmethod
    def from_linear(
        cls,
        net: LinearPCN,
        *,
        activation: str = "linear",
        output: str = "mse",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> PCN:
        """The same network as a torch module; float64 unless `dtype` says otherwise."""
        if not isinstance(net, LinearPCN):
            raise TypeError(f"`net` must be a pctheory.LinearPCN. Got {type(net).__name__}.")
        require_plain_units(net)
        model = cls.__new__(cls)
        model._build(
            operators_of(net.widths),
            [_check.to_numpy(w, f"W_{layer}") for layer, w in enumerate(net.weights, start=1)],
            [_check.to_numpy(b, f"b_{layer}") for layer, b in enumerate(net.biases, start=1)],
            net.multipliers,
            net.skips,
            activation,
            output,
            [
                p.value if isinstance(p.value, float) else _check.to_numpy(p.value, "precisions")
                for p in net.precisions
            ],
            torch.float64 if dtype is None else dtype,
            device,
        )
        model.parameterisation = None
        model.gamma = None
        return model

    def _build(
        self,
        operators: tuple[Operator, ...],
        weights: Sequence[np.ndarray],
        biases: Sequence[np.ndarray],
        multipliers: Sequence[float],
        skips: Sequence[bool],
        name: str | Activation,
        output: str,
        precisions: Sequence[Any] | None,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
    ) -> None:
        super().__init__()
        self.activation = activation(name)
        self.output = _check.choice(output, "output", OUTPUTS)
        self.multipliers = tuple(float(a) for a in multipliers)
        self.skips = tuple(bool(s) for s in skips)
        self.operators, self.widths = operators, widths_of(operators)
        require_same_images(operators, self.skips)
        self._stacks = stacks_of(self.widths, operators)
        like = torch.empty(0, dtype=dtype, device=device)
        checked_dtype(like.dtype)
        self.weights, self.biases = (
            nn.ParameterList(
                nn.Parameter(torch.tensor(m, dtype=like.dtype, device=like.device)) for m in part
            )
            for part in (weights, biases)
        )
        self._storages: list[Tensor | None] = [None] * len(self._stacks)
        self._precision_numbers: list[float | None] = []
        for layer, value in enumerate(
            checked_precisions(precisions, self.widths, self.output, like), start=1
        ):
            self._precision_numbers.append(value if isinstance(value, float) else None)
            if not isinstance(value, float):
                self.register_buffer(f"precision_{layer}", value)

    def matrices(self) -> tuple[Tensor, ...]:
        """The maps of layers 1..L as matrices (n_l, n_{l-1}), without multipliers: the weights, and a
        convolution written out.

        Returns
        -------
        tuple of (n_l, n_{l-1}), l = 1..L
            Detached.
        """
        return tuple(o.matrix(w.detach()) for o, w in zip(self.operators, self.weights, strict=True))

    def shifts(self) -> tuple[Tensor, ...]:
        """The biases of layers 1..L as rows (n_l,), detached; none without biases."""
        if not len(self.biases):
            return ()
        return tuple(o.spread(b.detach()) for o, b in zip(self.operators, self.biases, strict=True))

    def linear_parameters(self) -> dict[str, Any]:
        """Arguments of the same `pctheory.LinearPCN`, as float64 numpy arrays; convolutions as dense
        matrices.

        Returns
        -------
        dict
            weights, biases, multipliers, skips and precisions, by name.

        Raises
        ------
        ValueError
            If the activation is not linear, or the output energy is not the squared error.
        """
        if not self.activation.is_linear:
            raise ValueError(
                "`activation` must be 'linear' for a LinearPCN: a linear network is what the theory "
                "describes. "
                f"Got {self.activation.name!r}."
            )
        if self.output != "mse":
            raise ValueError(
                f"`output` must be 'mse' for a LinearPCN: its energy is quadratic. Got {self.output!r}."
            )
        return {
            "weights": [_check.to_numpy(w, "weights") for w in self.matrices()],
            "biases": [_check.to_numpy(b, "biases") for b in self.shifts()] or None,
            "multipliers": self.multipliers,
            "skips": self.skips,
            "precisions": [
                p if isinstance(p, float) else _check.to_numpy(p, "precisions") for p in self.precisions
            ],
        }

    # -- analytic gradients, in stacks -----------------------------------------------------------------------

    def activity_gradient(self, activities: Sequence[Any]) -> tuple[Tensor, ...]:
        r"""Gradient of `energy` in the activities (z_0, ..., z_L), with its factor 1/B.

        .. math:: \partial F/\partial z_l = \tfrac1B\left[\Pi_l\epsilon_l - \phi'(z_l) \circ a_{l+1} W_{l+1}^T
                  \Pi_{l+1}\epsilon_{l+1} - \tau_{l+1}\Pi_{l+1}\epsilon_{l+1}\right]

        Returns
        -------
        tuple of (B, n_l), l = 0..L
        """
        with torch.no_grad():
            state = self.state(activities)
            if self.output == "cross-entropy":
                prediction = self.prediction(self.depth, state.layers()[-2])
                output = -self.precisions[-1] * torch.log_softmax(prediction, -1)
            gradient = self.stacked().gradient(state, ends=(True, True))
            if self.output == "mse":
                output = gradient.errors.output_weighted
            assert gradient.input is not None
            layers = State(gradient.input, gradient.hidden, output).layers()
            return tuple(g / state.x.shape[0] for g in layers)

    def local_gradient(
        self, activities: Sequence[Any], *, errors: Sequence[Any] | None = None
    ) -> tuple[Tensor, ...]:
        r"""Gradient of `energy` in the weights and biases at fixed activities: the local learning rule.

        .. math:: \partial F/\partial W_l = -\frac{a_l}{B} \sum_i \Pi_l \epsilon_l \, \phi(z_{l-1})^T, \qquad
                  \partial F/\partial b_l = -\frac{1}{B} \sum_i \Pi_l \epsilon_l

        Parameters
        ----------
        activities : (z_0, ..., z_L), each (B, n_l)
            Where the gradient is taken.
        errors : (eps_1, ..., eps_L), each (B, n_l), optional
            The errors there, such as `InferenceResult.errors`, which keep digits that their differences
            have lost; computed from the activities when None.

        Returns
        -------
        tuple of tensors like `parameters()`

        Raises
        ------
        ValueError
            If `errors` are not one for each layer, or do not fit the activities.
        """
        with torch.no_grad():
            state, net = self.state(activities), self.stacked()
            found = net.errors(state)
            if errors is not None:
                if not isinstance(errors, list | tuple) or len(errors) != self.depth:
                    came = len(errors) if isinstance(errors, list | tuple) else type(errors).__name__
                    raise ValueError(
                        f"`errors` must be a tuple (eps_1, ..., eps_{self.depth}), one per layer, such as "
                        f"`InferenceResult.errors`. Got {came}."
                    )
                rows = checked_activities((state.x, *errors), self.widths, state.x, "eps")
                hidden = [torch.stack(rows[s.first : s.last + 1]) for s in self._stacks]
                found = net.errors_of(hidden, found.prediction, state.y)
                found.output_weighted = weight_by(self.precisions[-1], rows[-1])
            return tuple(net.local_gradients(state, found, self.multipliers))

    def loss_gradient(self, x: Any, y: Any, observed: Any = None) -> tuple[Tensor, ...]:
        r"""Gradient of `loss` in the weights and biases by an explicit backward pass: one forward and one
        backward sweep.

        Returns
        -------
        tuple of tensors like `parameters()`
        """
        with torch.no_grad():
            inputs = self.inputs(x)
            targets, marks = self.observed_targets(y, observed, inputs.shape[0])
            net = self.stacked(observed=marks)
            state = net.feedforward(inputs)
            force = net.output_force(state.y, targets)
            backward = net.empty_like_hidden(inputs.shape[0])
            net.pull_back(force, net.slopes(state), backward)
            forces = Errors(1, backward, backward, force, force, state.y)
            return tuple(net.local_gradients(state, forces, self.multipliers))

    def stacked(self, precision: float = 1.0, observed: Tensor | None = None) -> StackedNetwork:
        """The effective maps in stacks, as they are now, with hidden precisions times `precision`.

        Outputs that are not `observed`, booleans (B, n_L), are free and where the energy is least.

        Returns
        -------
        StackedNetwork
            Weights are not copied where multipliers are 1.
        """
        checked_dtype(self.dtype)
        *hidden, last = self.precisions
        with torch.no_grad():
            entries: list[Tensor] = []
            inners: list[Tensor | None] = []
            for index, stack in enumerate(self._stacks):
                entries.append(self.weights[stack.first - 1].detach())
                inners.append(self._storage(index) if stack.size > 1 else None)
            weights = (entries, inners, self.weights[-1].detach())
            return StackedNetwork(
                self.widths,
                self.operators,
                self.activation,
                self._stacks,
                weights,
                self.shifts(),
                self.multipliers,
                self.skips,
                (*(p * precision for p in hidden), last),
                self.output,
                observed,
            )

    def _storage(self, index: int) -> Tensor:
        """The shared storage (k-1, N, N) of a stack's inner weights.

        Moving or copying a module gives its parameters storages of their own; they are gathered again here.

        Returns
        -------
        (k-1, N, N)
            The weights are views of it.
        """
        stack = self._stacks[index]
        parameters = [self.weights[layer - 1] for layer in range(stack.first + 1, stack.last + 1)]
        result = self._storages[index] = gathered(parameters, self._storages[index])
        return result

    def state(self, activities: Sequence[Any]) -> State:
        """Checked activities in stacks (copies)."""
        z = self.activities(activities)
        hidden = [torch.stack([r.detach() for r in z[s.first : s.last + 1]]) for s in self._stacks]
        return State(z[0].detach().clone(), hidden, z[-1].detach().clone())


_parameterisation = parameterisation  # the argument of that name hides the module in `__init__`
