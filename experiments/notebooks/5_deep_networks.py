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
# # Training deep networks
#
# The same network, trained by real inference and by backpropagation, with the same optimiser.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

import pctheory as pt
from pctheory.nn import BP, PC, PCN, Newton, TrainingSettings, train

rng = np.random.default_rng(0)
x = rng.standard_normal((512, 16))
y = np.tanh(x @ rng.standard_normal((16, 4)) / 4)
data = pt.Data(torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32))

ax = plt.figure(figsize=(4, 3)).add_subplot()
for rule in (BP(), PC(Newton())):
    model = PCN((16, *[32] * 8, 4), activation="tanh", parameterisation="mupc", skips=True, rng=0)
    settings = TrainingSettings(rule, learning_rate=0.01, steps=60, batch_size=64, metrics_every=2)
    train(model, data, settings).plot(ax)

# %% [markdown]
# ## Why depth is hard for inference
#
# In the activities the condition number of inference grows like the square of the depth even for the best
# weights; in the coordinates of the errors it is the largest eigenvalue of $S$, whatever the depth.

# %%
for depth in (4, 8, 16, 32):
    net = pt.LinearPCN.random((16, *[16] * (depth - 1), 4), parameterisation="mupc", skips=True, rng=0)
    kappa = [pt.condition_number(net, coordinates=name) for name in ("activities", "errors")]
    print(f"L = {depth:2}: {kappa[0]:7.0f} in the activities, {kappa[1]:.2f} in the errors")

# %% [markdown]
# ## Where the energy lies
#
# The error reaches the first layers, but little of it: what each layer holds at equilibrium.

# %%
pt.equilibrium(net, pt.Data.teacher(np.eye(4, 16), 64, rng=1)).plot()
