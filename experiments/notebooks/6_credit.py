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
# # Credit and trade-off
#
# What one code can do for two tasks: to give back its input, and to tell the target. Each point is the best
# linear code of three numbers for one weight of the two errors.

# %%
import numpy as np

import pctheory as pt

data = pt.load_dataset("digits")
data

# %%
curve = pt.tradeoff_curve(data, 3, np.linspace(0, 1, 21))
curve.plot()
# %% [markdown]
# ## Whose gradient is it?
#
# Fourteen ways to get a gradient through inference, compared with backpropagation's and with the exact
# gradient of $F^*$ ("pc"), layer by layer.

# %%
net = pt.LinearPCN.random((64, 16, 16, 10), rng=0)
comparison = pt.compare_gradients(net, data.compress())
for to in ("bp", "pc"):
    print(f"cosine to {to}, first layer to last:")
    for name, values in comparison.cosines(to=to).items():
        print(f"    {name:24}", values.round(3))

# %% [markdown]
# The local rule at equilibrium is an exact gradient:

# %%
pt.claims["envelope-gradient"]
