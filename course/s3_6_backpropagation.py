# %% [markdown]
# # 3.6 Forward and back through one hidden layer
#
# The six formulas of the course, for m examples at once. In lamina's orientation a row is an
# example, so the products stand the other way round than in the course:
#
# - forward: $Z_1 = X W_1 + b_1$, $A_1 = \tanh Z_1$, $Z_2 = A_1 W_2 + b_2$, $A_2 = \sigma(Z_2)$
# - back: $dZ_2 = (A_2 - Y) / m$, $dW_2 = A_1^T dZ_2$, $db_2 = \sum dZ_2$
# - and: $dZ_1 = dZ_2 W_2^T * (1 - A_1^2)$, $dW_1 = X^T dZ_1$, $db_1 = \sum dZ_1$

# %%
import lamina as lm
import numpy as np

data = lm.datasets.load("planar")
x, y = data.x_train, data.y_train.reshape(-1, 1)

model = lm.Sequential(
    [lm.Dense(4, "tanh"), lm.Dense(1, "sigmoid")], "binary_cross_entropy",
    lm.SGD(1.2), dtype="float64", seed=0,
)
model.build(2)


# %%
def forward(x, w1, b1, w2, b2):
    a1 = np.tanh(x @ w1 + b1)
    a2 = 1 / (1 + np.exp(-(a1 @ w2 + b2)))
    return a1, a2


def backward(x, y, w1, b1, w2, b2):
    a1, a2 = forward(x, w1, b1, w2, b2)
    dz2 = (a2 - y) / len(x)
    dw2, db2 = a1.T @ dz2, dz2.sum(axis=0, keepdims=True)
    dz1 = dz2 @ w2.T * (1 - a1**2)
    dw1, db1 = x.T @ dz1, dz1.sum(axis=0, keepdims=True)
    assert dw1.shape == w1.shape
    assert db1.shape == b1.shape
    return dw1, db1, dw2, db2


# %%
weights = model.get_weights()
by_hand = backward(x, y, *weights)
library = model.gradients(x, y)
names = [("W1", 0, "weight"), ("b1", 0, "bias"), ("W2", 1, "weight"), ("b2", 1, "bias")]
for mine, (name, layer, key) in zip(by_hand, names, strict=True):
    difference = np.abs(mine - library[layer][key]).max()
    print(f"d{name}: by hand and from the library within {max(difference, 1e-15):.0e}")

# %% [markdown]
# A gradient check trusts no formula: it moves each weight a little to either side, and looks what
# the cost does.

# %%
check = lm.check_gradients(model, x, y)
for name, error in check.errors.items():
    bound = 10.0 ** np.ceil(np.log10(error))
    print(f"{name}: relative difference from finite differences below {bound:.0e}")
print("all pass" if check.passed else "one of them is WRONG")

# %% [markdown]
# And a thousand steps by hand lead where the library's lead.

# %%
steps = 1000  # reduced: 20
for _ in range(steps):
    weights = [w - 1.2 * dw for w, dw in zip(weights, backward(x, y, *weights), strict=True)]
model.fit(x, y, steps, batch_size=len(x), shuffle=False, verbose=0)
a2 = forward(x, *weights)[1]
mine = -np.mean(y * np.log(a2) + (1 - y) * np.log(1 - a2))
print(f"cost after {steps} steps: {mine:.6f} by hand, {model.evaluate(x, y)['loss']:.6f} by fit")
