"""Predictive coding in plain torch: inference by gradient descent on the activities, learning by the local
rule. No theory.
"""

import torch


def tensors(net):
    """Weights as torch tensors."""
    return [torch.tensor(w.tolist(), dtype=torch.float64) for w in net.weights]


def as_maps(weights, net):
    return [
        a * w + (torch.eye(len(w), dtype=w.dtype) if skip else 0)
        for w, a, skip in zip(weights, net.multipliers, net.skips, strict=True)
    ]


def forward(maps, x, phi=lambda z: z):
    """Activities of the feedforward pass, z_l = A_l phi(z_{l-1}); the input is not transformed."""
    z = [x, x @ maps[0].T]
    for matrix in maps[1:]:
        z.append(phi(z[-1]) @ matrix.T)
    return z


def errors_of(maps, z, phi=lambda z: z):
    below = [z[0], *(phi(layer) for layer in z[1:-1])]
    return [z[l + 1] - below[l] @ maps[l].T for l in range(len(maps))]


def energy(maps, z, phi=lambda z: z):
    """F(z), a mean over the samples; unit precisions."""
    return sum(0.5 * torch.sum(e**2) for e in errors_of(maps, z, phi)) / len(z[0])


def infer(maps, x, y, steps, step=None, phi=lambda z: z):
    """Activities after gradient descent on the energy from the feedforward pass, the output clamped to y."""
    maps = [m.detach() for m in maps]
    if step is None:
        step = 1.0 / (1.0 + 2.0 * max(float(torch.linalg.matrix_norm(m, 2)) ** 2 for m in maps))
    z = forward(maps, x, phi)
    hidden = [layer.clone().requires_grad_(True) for layer in z[1:-1]]
    for _ in range(steps):
        value = len(x) * energy(maps, [x, *hidden, y], phi)
        slopes = torch.autograd.grad(value, hidden)
        hidden = [(h - step * g).detach().requires_grad_(True) for h, g in zip(hidden, slopes, strict=True)]
    return [x, *(h.detach() for h in hidden), y]


def local_gradient(weights, net, z, phi=lambda z: z):
    """dF/dW at fixed activities, by autograd."""
    leaves = [w.detach().clone().requires_grad_(True) for w in weights]
    value = energy(as_maps(leaves, net), z, phi)
    return torch.autograd.grad(value, leaves)


def pc_gradient(weights, net, x, y, steps=400):
    """The gradient of predictive coding: inference, then the local rule."""
    return local_gradient(weights, net, infer(as_maps(weights, net), x, y, steps))


def bp_gradient(weights, net, x, y):
    """The gradient of the loss at the energy's scale, by autograd."""
    leaves = [w.detach().clone().requires_grad_(True) for w in weights]
    output = forward(as_maps(leaves, net), x)[-1]
    return torch.autograd.grad(0.5 * torch.sum((y - output) ** 2) / len(x), leaves)
