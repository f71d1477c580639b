# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Bring your own torch or JAX network
#
# Any linear torch module is a network here; another is refused, with the reason. The scenes take no biases.

# %%
import numpy as np
import torch

import pctheory as pt

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(4, 6, bias=False), torch.nn.Linear(6, 6, bias=False), torch.nn.Linear(6, 2, bias=False)
)
pt.explore(model)

# %%
try:
    pt.LinearPCN.from_torch(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU()))
except ValueError as refused:
    print(refused)

# %% [markdown]
# Nonlinear networks are trained, and their inference run, by `pctheory.nn`: see the notebook on deep
# networks.
#
# ## Your tensors stay tensors
#
# The closed forms take torch tensors and return them, with gradients.

# %%
weights = [layer.weight for layer in model]
net = pt.LinearPCN(weights)
data = pt.Data(torch.randn(20, 4), torch.randn(20, 2))
energy = pt.equilibrium(net, data).energy
energy.backward()
local = pt.equilibrium(net, data).weight_gradient()[0]
print(float((local - weights[0].grad).detach().abs().max()))  # the local rule is the gradient

# %% [markdown]
# ## And JAX arrays

# %%
import jax
import jax.numpy as jnp

arrays = [jnp.asarray(w.detach().numpy()) for w in weights]
pairs = pt.Data(jnp.asarray(data.x.numpy()), jnp.asarray(data.y.numpy()))


def value(own):
    return pt.equilibrium(pt.LinearPCN(own), pairs).energy


gradient = jax.grad(value)(arrays)
print(float(jnp.abs(gradient[0] - np.asarray(weights[0].grad)).max()))
