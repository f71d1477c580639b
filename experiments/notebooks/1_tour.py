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
# # Ten minutes with predictive coding networks
#
# Move the sliders and touch the pictures. On the left is the loss, which backpropagation descends; on the
# right the energy $F^*$ that is left when the hidden activities have settled, which predictive coding
# descends. "inference" runs from one to the other. Drag a picture to start the paths elsewhere; choose
# `relief` and drag to turn it.

# %%
import numpy as np

import pctheory as pt

pt.explore()

# %% [markdown]
# The other tabs show inference itself, inference as a step in a trust region, and what depth and width do.
# A scene is a figure too, without controls:

# %%
net, data = pt.explore.problem("chain of three")
pt.explore.Plane(net, data, right=0.3, up=0.4, inference=1.0)

# %% [markdown]
# ## A network, its data, its equilibrium
#
# A network is its weights. Everything below is in closed form: nothing is trained.

# %%
net = pt.LinearPCN.random((16, 32, 32, 4), parameterisation="mupc", skips=True, rng=0)
net

# %%
data = pt.Data.teacher(np.eye(4, 16), 256, noise=0.1, rng=1)
eq = pt.equilibrium(net, data)
eq

# %% [markdown]
# $F^* = \frac{1}{2B} \sum_i r_i^T S^{-1} r_i$ is the loss with another metric: $S$ says how easily the hidden
# layers take over a part of an output's error. Each layer holds a share of it.

# %%
eq.plot()
# %% [markdown]
# ## Where would each rule go?

# %%
pt.update_directions(pt.LinearPCN.random((4, 5, 3), rng=0), pt.Data.teacher(np.ones((3, 4)), 50, rng=1))

# %% [markdown]
# ## A landscape with two paths

# %%
start = pt.LinearPCN([[[0.1]], [[0.15]]])
toy = pt.Data.toy(rng=0)
energy, loss = pt.EquilibratedEnergy(toy), pt.MSELoss(toy)
paths = [pt.gradient_descent(objective, start, 0.2, 60) for objective in (loss, energy)]
plane = pt.landscape_slice(energy, pt.LinearPCN.zeros((1, 1, 1)), list(np.eye(2)), extent=1.5, num=61)
plane.plot(None, *paths)
# %% [markdown]
# Every statement has an entry with its assumptions, its source and the evidence for it.

# %%
pt.claims["equilibrated-energy"]
