# %% [markdown]
# # 2.7 The gradient of logistic regression
#
# One example with two features: z = w1 x1 + w2 x2 + b, a = σ(z), and the loss
# L = −(y log a + (1 − y) log(1 − a)). From right to left, by hand:
#
# - $\frac{dL}{da} = -\frac{y}{a} + \frac{1 - y}{1 - a}$
# - $\frac{dL}{dz} = \frac{dL}{da} \cdot a (1 - a) = a - y$
# - $\frac{dL}{dw_1} = x_1 \frac{dL}{dz}$, $\frac{dL}{dw_2} = x_2 \frac{dL}{dz}$,
#   $\frac{dL}{db} = \frac{dL}{dz}$

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())


def loss(w1, x1, w2, x2, b, y):
    z = w1 * x1 + w2 * x2 + b
    a = lm.ops.sigmoid(z)
    z.name, a.name = "z", "a"
    return -(y * lm.ops.log(a) + (1 - y) * lm.ops.log(1 - a))


# %%
traced = lm.trace(loss, 0.5, 1.0, -0.3, 2.0, 0.2, 1.0)
lm.plot.graph(traced)
plt.suptitle("Logistic regression on one example (y = 1)")
plt.show()

# %%
node = {name: node for node, name in traced.names.items()}
a, y, x1, x2 = (traced.values[node[name]].item() for name in ("a", "y", "x1", "x2"))
by_hand = {"a": -y / a + (1 - y) / (1 - a), "z": a - y, "w1": x1 * (a - y), "w2": x2 * (a - y)}
print("derivative", "graph", "by hand", sep="\t")
for name, formula in by_hand.items():
    print(f"dL/d{name}", f"{traced.derivatives[node[name]].item():.6f}", f"{formula:.6f}", sep="\t")

# %% [markdown]
# Computed one operation after the other, dL/dz is a very large number times a very small one, and
# with a saturated unit log(0) and 0/0. The library recognises sigmoid and loss, computes them as
# one, and their derivative as a − y: it stays right however sure the unit is.

# %%
print("z", "dL/dz, step by step", "dL/dz, as one", sep="\t")
for z in (1.0, 20.0, 800.0):
    with np.errstate(all="ignore"):
        a = 1 / (1 + np.exp(-z))
        steps = (1 / (1 - a)) * a * (1 - a)  # y = 0
    whole = lm.grad(lambda z: -lm.ops.log(1 - lm.ops.sigmoid(z)))(z)
    print(f"{z:g}", f"{steps:.6f}", f"{whole:.6f}", sep="\t")
