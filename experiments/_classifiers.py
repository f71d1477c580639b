r"""Classification against reconstruction, trained: autoencoder-classifiers, and generative networks that
classify by inference.

Two models of the same question (Rathjens & Wiskott 2024, arXiv:2401.09237). `AutoencoderClassifier` is a
feedforward network with a shared code, a decoder and a head. `GenerativeClassifier` is a predictive coding
network from a label through codes to an image: it classifies by inferring the label of a clamped image, and
reconstructs by the prediction of that image. It learns by the local rule, or by backpropagation of
:math:`\lambda` reconstruction + :math:`(1 - \lambda)` cross-entropy through inference; with a second network
in the other direction it is bidirectional (Oliviers et al. 2025, arXiv:2505.23415).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pctheory.nn import PCN, Clamps

__all__ = [
    "AutoencoderClassifier",
    "GenerativeClassifier",
    "TradeoffSettings",
    "TradeoffTraining",
    "train_autoencoder",
    "train_tradeoff",
]


class AutoencoderClassifier(nn.Module):
    r"""Encoder, shared code, decoder and head; no biases: center the data.

    Parameters
    ----------
    widths : (n_0, ..., k)
        Of the encoder; the decoder mirrors it, the head is one matrix from the code to `num_classes`.
    num_classes : int
    activation : "linear" or "relu"
        Between the layers of encoder and decoder, not on the code.
    rng : numpy.random.Generator or int

    Examples
    --------
    >>> model = AutoencoderClassifier((6, 2), 3, rng=0)
    >>> [tuple(part.shape) for part in model(torch.ones(4, 6, dtype=torch.float64))]
    [(4, 6), (4, 3)]
    """

    def __init__(
        self,
        widths: Sequence[int],
        num_classes: int,
        *,
        activation: str = "linear",
        rng: np.random.Generator | int,
    ) -> None:
        super().__init__()
        sizes, generator = tuple(widths), np.random.default_rng(rng)
        _require_one_of(activation, "activation", ("linear", "relu"))
        self.encoder = _stack(sizes, activation, generator)
        self.decoder = _stack(sizes[::-1], activation, generator)
        self.head = _stack((sizes[-1], num_classes), "linear", generator)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, n_0) and class scores (B, num_classes)."""
        code = self.encoder(x)
        return self.decoder(code), self.head(code)

    def errors(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        r""":math:`\langle |x - \hat x|^2 \rangle` and :math:`\langle |y - \hat y|^2 \rangle`, scalars."""
        image, scores = self(x)
        return torch.sum((x - image) ** 2) / len(x), torch.sum((y - scores) ** 2) / len(x)


def _stack(sizes: Sequence[int], activation: str, rng: np.random.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (into, out) in enumerate(pairwise(sizes)):
        if index and activation == "relu":
            layers.append(nn.ReLU())
        layer = nn.Linear(into, out, bias=False, dtype=torch.float64)
        gain = 2.0 if activation == "relu" else 1.0
        with torch.no_grad():
            layer.weight.copy_(torch.tensor(rng.standard_normal((out, into)) * (gain / into) ** 0.5))
        layers.append(layer)
    return nn.Sequential(*layers)


def train_autoencoder(
    model: AutoencoderClassifier,
    x: Tensor,
    y: Tensor,
    weight: float,
    *,
    max_iterations: int = 500,
    steps: int = 0,
    batch_size: int = 256,
    learning_rate: float = 1e-3,
    rng: np.random.Generator | int = 0,
) -> float:
    r"""Minimise :math:`\lambda` reconstruction + :math:`(1 - \lambda)` classification (squared errors) and
    return the loss.

    Parameters
    ----------
    x, y : (B, n_0), (B, n_L)
    weight : float in [0, 1]
        :math:`\lambda`.
    max_iterations : int
        Of full-batch L-BFGS, restarted where its line search gives up, after
    steps : int
        of Adam on batches: L-BFGS alone can linger at the strict saddles of the problem.
    """
    _require_share(weight)
    generator = np.random.default_rng(rng)

    def loss(rows: Tensor | slice) -> Tensor:
        image, label = model.errors(x[rows], y[rows])
        return weight * image + (1 - weight) * label

    adam = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for _ in range(steps):
        picked = torch.as_tensor(generator.choice(len(x), min(batch_size, len(x)), replace=False))
        adam.zero_grad()
        loss(picked).backward()
        adam.step()
    left, everything = max_iterations, slice(None)
    while left > 0:
        lbfgs = torch.optim.LBFGS(
            model.parameters(),
            max_iter=left,
            history_size=50,
            tolerance_grad=1e-10,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def closure(optimiser: torch.optim.LBFGS = lbfgs) -> Tensor:
            optimiser.zero_grad()
            value = loss(everything)
            value.backward()
            return value.detach()

        lbfgs.step(closure)
        state = lbfgs.state[next(model.parameters())]
        left -= max(int(state["n_iter"]), 1)
        if int(state["n_iter"]) <= 1:  # a fresh start that cannot move: stationary
            break
    with torch.no_grad():
        return float(loss(everything))


class GenerativeClassifier(nn.Module):
    r"""A predictive coding network that generates: label :math:`z_0`, codes, image :math:`z_L`.

    .. math:: E = c_{\downarrow} F_{\downarrow}(z) + c_{\uparrow} F_{\uparrow}(z)
              + \tfrac{1}{2B} \pi_0 \sum |z_0|^2

    Parameters
    ----------
    down : PCN
        Label to image.
    up : None or PCN
        Image to label, the widths in reverse: the discriminative half of a bidirectional network.
    prior : float
        :math:`\pi_0`, on the label.
    balance : (float, float)
        :math:`(c_{\downarrow}, c_{\uparrow})`.

    Notes
    -----
    Inference is exact when all is linear: the minimum of a quadratic whose Hessian is the same for all
    samples, by one dense solve inside torch's graph. Otherwise it is `num_steps` of gradient descent at a
    safe step.
    """

    def __init__(
        self,
        down: PCN,
        up: PCN | None = None,
        *,
        prior: float = 0.1,
        balance: tuple[float, float] = (1.0, 1.0),
        num_steps: int = 20,
    ) -> None:
        super().__init__()
        if up is not None and up.widths != down.widths[::-1]:
            raise ValueError(
                f"`up` must have the widths of `down` in reverse, {down.widths[::-1]}. Got {up.widths}."
            )
        self.down, self.up = down, up
        self.prior = prior
        self.balance = balance
        self.num_steps = num_steps
        self.log_temperature = nn.Parameter(torch.zeros((), dtype=down.dtype))

    @property
    def is_linear(self) -> bool:
        """Whether the energy is quadratic."""
        return self.down.activation.is_linear and (self.up is None or self.up.activation.is_linear)

    def energy(self, z: Sequence[Tensor]) -> Tensor:
        """E, a batch mean."""
        total = self.balance[0] * self.down.energy(z) + 0.5 * self.prior * torch.sum(z[0] ** 2) / len(z[0])
        return total if self.up is None else total + self.balance[1] * self.up.energy(tuple(z)[::-1])

    def settle(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, ...]:
        """Inferred activities of clamped images, and of labels if given; differentiable in the weights.

        Parameters
        ----------
        images : (B, n_L)
        labels : None or (B, n_0)
        """
        depth, widths = self.down.depth, self.down.widths
        first = images.new_zeros(len(images), widths[0]) if labels is None else labels
        hidden = [images.new_zeros(len(images), n) for n in widths[1:-1]]
        given = (first, *hidden, images)
        mask = [labels is not None, *[False] * (depth - 1), True]
        clamps = Clamps.of(self.down, mask)
        return self._solve(given, clamps) if self.is_linear else self._descend(given, clamps)

    def reconstruction(self, z: Sequence[Tensor]) -> Tensor:
        """Squared error of the predicted image per pixel, a batch mean."""
        error = z[-1] - self.down.prediction(self.down.depth, z[-2])
        return torch.mean(error**2)

    def logits(self, z: Sequence[Tensor]) -> Tensor:
        """Inferred label over the temperature, (B, n_0)."""
        return z[0] * torch.exp(-self.log_temperature)

    def local_loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """The energy at the settled codes of given images and labels: its gradient is the local rule."""
        with torch.no_grad():
            z = self.settle(images, labels)
        return self.energy(z)

    def inference_loss(self, images: Tensor, labels: Tensor, weight: float) -> Tensor:
        r""":math:`\lambda` reconstruction + :math:`(1 - \lambda)` cross-entropy where inference of the label
        ends.
        """
        z = self.settle(images)
        surprise = -torch.sum(labels * torch.log_softmax(self.logits(z), -1)) / len(images)
        return weight * self.reconstruction(z) + (1 - weight) * surprise

    @torch.no_grad()
    def evaluate(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """Share of images whose largest inferred label unit is the right one, and the reconstruction error
        per pixel.
        """
        z = self.settle(images)
        right = (z[0].argmax(-1) == labels.argmax(-1)).to(torch.float64).mean()
        return float(right), float(self.reconstruction(z))

    def _solve(self, given: Sequence[Tensor], clamps: Clamps) -> tuple[Tensor, ...]:
        """z* = z_c - H^{-1} grad E(z_c) on the free units, with H from one sample."""
        sizes = [a.shape[1] for a in given]
        free = torch.nonzero(torch.cat(list(clamps.free))).flatten()
        held = torch.cat([a * (1 - m) for a, m in zip(given, clamps.free, strict=True)], 1)

        def split(rows: Tensor) -> tuple[Tensor, ...]:
            return torch.split(rows, sizes, 1)

        def slope(rows: Tensor) -> Tensor:
            with torch.enable_grad():
                rows = rows if rows.requires_grad else rows.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(self.energy(split(rows)), rows, create_graph=True)
            return len(rows) * gradient

        # the gradient of a quadratic without linear term is H times its argument: unit vectors give the
        # columns
        units = torch.eye(held.shape[1], dtype=held.dtype, device=held.device)[free]
        hessian = slope(units)[:, free]
        moved = torch.linalg.solve(hessian, slope(held)[:, free].mT).mT
        return split(held.index_add(1, free, -moved))

    def _descend(self, given: Sequence[Tensor], clamps: Clamps) -> tuple[Tensor, ...]:
        step = self._step()
        graph = torch.is_grad_enabled()
        z = tuple(a.detach() for a in clamps.start(self.down, given))
        for _ in range(self.num_steps):
            with torch.enable_grad():
                own = tuple(a if a.requires_grad else a.requires_grad_() for a in z)
                slope = torch.autograd.grad(self.energy(own), own, create_graph=graph)
            z = tuple(a - step * len(a) * s * m for a, s, m in zip(own, slope, clamps.free, strict=True))
            if not graph:
                z = tuple(a.detach() for a in z)
        return z

    def _step(self) -> float:
        r"""1 over a bound on the curvature: the errors' Jacobian is at most :math:`1 + \max \Vert A_l \Vert`
        for slopes up to 1.
        """
        with torch.no_grad():
            top = self.prior
            for scale, model in zip(self.balance, (self.down, self.up), strict=True):
                if model is not None:
                    norms = [
                        abs(a) * float(torch.linalg.matrix_norm(w, 2))
                        for a, w in zip(model.multipliers, model.matrices(), strict=True)
                    ]
                    top += scale * (1 + max(norms)) ** 2
        return 1 / top


@dataclass(frozen=True)
class TradeoffSettings:
    r"""How a `GenerativeClassifier` is trained, by Adam on random batches.

    Attributes
    ----------
    rule : "local" or "through-inference"
    weight : float in [0, 1]
        :math:`\lambda` on reconstruction; the local rule has none.
    steps, batch_size, learning_rate
    weight_decay : float
        Decoupled: without it the weights have no finite optimum on noisy data (claim
        ``no-minimiser-with-noise``).
    seed : int
        Of the batches.
    """

    rule: str = "through-inference"
    weight: float = 0.5
    steps: int = 300
    batch_size: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    seed: int = 0

    def __post_init__(self) -> None:
        _require_one_of(self.rule, "rule", ("local", "through-inference"))
        _require_share(self.weight)


@dataclass(frozen=True, eq=False)
class TradeoffTraining:
    """A training run: (M,) arrays of steps and losses."""

    steps: np.ndarray
    losses: np.ndarray


def train_tradeoff(
    model: GenerativeClassifier, images: Tensor, labels: Tensor, settings: TradeoffSettings
) -> TradeoffTraining:
    r"""Train `model` in place.

    Parameters
    ----------
    images : (B, n_L)
    labels : (B, n_0), one-hot rows

    Examples
    --------
    >>> model = GenerativeClassifier(PCN((2, 3, 4), init=0.3, rng=0, dtype=torch.float64))
    >>> labels = torch.eye(2, dtype=torch.float64)
    >>> images = labels @ torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    >>> settings = TradeoffSettings(weight=0.1, steps=100, learning_rate=0.05)
    >>> run = train_tradeoff(model, images, labels, settings)
    >>> bool(run.losses[-1] < 0.5 * run.losses[0])
    True
    """
    rng = np.random.default_rng(settings.seed)
    groups: list[dict[str, Any]] = [
        {"params": [p for n, p in model.named_parameters() if n != "log_temperature"]},
        {"params": [model.log_temperature], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(
        groups,
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    losses = []
    for _ in range(settings.steps):
        size = min(settings.batch_size, len(images))
        rows = torch.as_tensor(rng.choice(len(images), size, replace=False), device=images.device)
        optimiser.zero_grad()
        if settings.rule == "local":
            loss = model.local_loss(images[rows], labels[rows])
        else:
            loss = model.inference_loss(images[rows], labels[rows], settings.weight)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return TradeoffTraining(np.arange(settings.steps), np.array(losses))


def _require_one_of(value: str, name: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, valid))}. Got {value!r}.")


def _require_share(weight: float) -> None:
    if not 0 <= weight <= 1:
        raise ValueError(f"`weight` must lie in [0, 1]: it shares 1 between two errors. Got {weight:g}.")
