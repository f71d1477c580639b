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
# # When is predictive coding backpropagation?
#
# Inference is a step of the loss in the hidden errors, in a trust region. A radius of zero is
# backpropagation; the radius that inference takes is predictive coding; a large one is Gauss-Newton.

# %%
import matplotlib.pyplot as plt

import pctheory as pt

net, data = pt.explore.problem("random network")
pt.explore.TrustRegion(net, data, radius=-1.0)

# %% [markdown]
# What decides is $S$: where it is the identity, $F^*$ is the loss. Width and muPC bring it there; depth and
# standard scaling lead away.

# %%
widths = [4, 8, 16, 32, 64, 128]
for name, skips in (("sp", False), ("mupc", True)):
    excess = [pt.expected_rescaling((8, *[n] * 7, 4), name, skips=skips)[0, 0] - 1 for n in widths]
    plt.loglog(widths, excess, ".-", label=f"{name}, 8 layers")
plt.xlabel("width"), plt.ylabel("mean of $S$ minus 1"), plt.legend()
# %% [markdown]
# Precise hidden layers do the same at any width: they hardly give way.

# %%
for precision in (1.0, 10.0, 100.0):
    stiff = net.replace(precisions=[*[precision] * (net.depth - 1), 1.0])
    angle = pt.update_directions(stiff, data).angles()["gd"]["pc"]
    ratio = pt.equilibrium(stiff, data).energy / pt.loss(stiff, data)
    print(f"precision {precision:>5g}: angle to backprop {angle:5.1f} degrees, F* / loss {ratio:.3f}")

# %% [markdown]
# Depth, width, scaling, precision and the escape times on sliders: the last tab of `pt.explore()`.

# %%
pt.explore.Sizes(depth=12, width=16, parameterisation="mupc", skips=True)
