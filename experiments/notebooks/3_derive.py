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
# # Derive $F^*$
#
# Start from the energy of one sample and let computer algebra eliminate the hidden activities, one step at a
# time. Each step is checked where it is printed.

# %%
import numpy as np

import pctheory as pt

pt.symbolic.derive("equilibrated-energy", hidden_layers=1)

# %% [markdown]
# Two hidden layers go the same way:

# %%
pt.symbolic.derive("equilibrated-energy", hidden_layers=2)

# %% [markdown]
# ## The same number by three roads
#
# The closed form, the definition of the energy at the settled activities, and inference that is really run.

# %%
net = pt.LinearPCN.random((3, 5, 5, 2), rng=0)
data = pt.Data.teacher(np.eye(2, 3), 40, noise=0.2, rng=1)
eq = pt.equilibrium(net, data)
residual = data.y - pt.feedforward(net, data.x)[-1]
closed = 0.5 * np.mean(np.sum(residual * np.linalg.solve(pt.rescaling(net), residual.T).T, axis=1))
relaxed = pt.relax(net, data, step=pt.inference_rate(net).best_step, num_steps=400)
print(f"{closed:.12f}\n{pt.energy(net, eq.activities):.12f}\n{pt.energy(net, relaxed):.12f}")

# %% [markdown]
# Inference on the way there: move `share` beyond 1 and it leaves the edge of stability.

# %%
pt.explore.Inference(net, data, iterations=12)

# %% [markdown]
# Every derivation there is:

# %%
pt.symbolic.derivations()
