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
# # Saddles, and how long it takes to leave them
#
# At zero weights the loss of a chain of three is flat in every direction; $F^*$ falls. The point below is the
# origin, its eigenvalues are on the right.

# %%
import numpy as np

import pctheory as pt

net, data = pt.explore.problem("chain of three")
scene = pt.explore.Plane(net, data, second="escape", inference=1.0, right=0.0, up=0.05, steps=60, extent=2.0)
scene

# %%
for objective in (pt.MSELoss(data), pt.EquilibratedEnergy(data)):
    print(type(objective).__name__, pt.classify_critical_point(objective, net).kind)

# %% [markdown]
# The theorem gives the way out in closed form, and one Hessian-vector product checks it.

# %%
pt.classify_critical_point(pt.EquilibratedEnergy(data), net)

# %% [markdown]
# ## The whole Hessian at the origin, in closed form

# %%
wide = pt.origin_hessian(pt.EquilibratedEnergy(pt.Data.teacher(np.eye(2, 3), 50, rng=0)), (3, 4, 4, 2))
wide.plot()
# %% [markdown]
# ## How long
#
# All weights of a chain start at $d$. Gradient descent on the loss needs a time that grows like $d^{-(L-2)}$;
# on $F^*$ it is a power of $\log(1/d)$.

# %%
for depth in (3, 4, 5):
    times = [pt.dynamics.escape_time((1,) * (depth + 1), 1e-6, objective=name) for name in ("loss", "energy")]
    print(f"L = {depth}: the loss {times[0]:.1e}, F* {times[1]:.0f}")

# %% [markdown]
# The same by integrating the flow, from weights of 0.1:

# %%
start = net.replace(weights=[[[0.1]], [[0.1]], [[-0.1]]])
flows = [
    pt.gradient_flow(f(data), start, np.linspace(0, 25, 200)) for f in (pt.MSELoss, pt.EquilibratedEnergy)
]
ax = flows[0].plot()
flows[1].plot(ax)
ax.set_yscale("linear")
