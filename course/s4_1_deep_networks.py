# %% [markdown]
# # 4.1 Networks of L layers
#
# Logistic regression is a network of one layer. Every further layer does the same again with what
# the one before it made: $Z_l = A_{l-1} W_l + b_l$, $A_l = g_l(Z_l)$. So a loop over the layers is
# the forward pass, and a loop from the last to the first the backward pass:
# $dW_l = A_{l-1}^T dZ_l$, $dA_{l-1} = dZ_l W_l^T$, $dZ_{l-1} = dA_{l-1} * g'(Z_{l-1})$.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
depth = 3  # hidden layers: 0 is logistic regression
epochs = 60  # reduced: 2
rows = 1400  # reduced: 60
seeds = 5  # reduced: 2

data = lm.datasets.load("digits")
x, y, new = data.x_train[:rows], data.y_train[:rows], (data.x_test, data.y_test)


def network(depth, seed=0):
    return lm.Sequential(
        [*(lm.Dense(32, "relu") for _ in range(depth)), lm.Dense(10, "softmax")],
        "cross_entropy", lm.SGD(0.05), ("accuracy",), dtype="float64", seed=seed,
    ).build(64)


# %% [markdown]
# Forward and back as loops over layers, beside the library's gradients.


# %%
def forward(x, weights):
    outputs = [x]
    for w, b in weights:
        z = outputs[-1] @ w + b
        outputs.append(np.maximum(z, 0))
    outputs[-1] = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)  # softmax, in the last one
    return outputs


def backward(y, weights, outputs):
    dz, gradients = (outputs[-1] - np.eye(10)[y]) / len(y), []
    for (w, _), before in zip(weights[::-1], outputs[-2::-1], strict=True):
        gradients.insert(0, (before.T @ dz, dz.sum(axis=0, keepdims=True)))
        dz = dz @ w.T * (before > 0)
    return gradients


model = network(depth)
arrays = model.get_weights()
print(f"{depth} hidden layers: shapes of the weights {[w.shape for w in arrays[::2]]}")
weights = list(zip(arrays[::2], arrays[1::2], strict=True))
by_hand = backward(y, weights, forward(x, weights))
library = model.gradients(x, y)
worst = max(np.abs(m[0] - g["weight"]).max() for m, g in zip(by_hand, library, strict=True))
print(f"by hand and from the library within {max(worst, 1e-15):.0e}")
print("the gradient check", "passes" if lm.check_gradients(model, x[:50], y[:50]) else "FAILS")

# %% [markdown]
# What depth is worth on digits: the line `depth = 3` above, for each of five depths.

# %%
histories = {}
for layers in range(5):
    scores = []
    for seed in range(seeds):
        history = network(layers, seed).fit(x, y, epochs, validation_data=new, verbose=0)
        scores.append(100 * history.history["val_accuracy"][-1])
    histories[f"{layers} hidden"] = history
    right = f"{np.mean(scores):.1f} ± {np.std(scores):.1f} %"
    print(f"{layers} hidden layers: {right} of new images right")
lm.plot.learning_curves(histories, "val_accuracy").set(ylabel="accuracy on new images")
plt.ylim(0.8, 1.0)
plt.suptitle("Accuracy by epoch for 0 to 4 hidden layers")
plt.show()
