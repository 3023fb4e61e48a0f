# %% [markdown]
# # 2.4 Gradient descent
#
# Each step moves the parameters a little way down the slope,
# $w := w - \alpha \frac{\partial J}{\partial w}$, $b := b - \alpha \frac{\partial J}{\partial b}$.
# The learning rate $\alpha$ decides how far. Too small, and the walk takes for ever; too large, and
# each step lands higher on the other side of the valley.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
epochs = 200  # reduced: 30
step = 1  # reduced: 5

data = lm.datasets.load("moons")
x, y = data.x_train[::step], data.y_train[::step]


def descend(rate, batch_size):
    model = lm.Sequential(
        [lm.Dense(1, "sigmoid")], loss="binary_cross_entropy",
        optimizer=lm.SGD(rate), dtype="float64", seed=0,
    )
    return model.fit(x, y, epochs, batch_size, shuffle=batch_size < len(x), verbose=0)


# %% [markdown]
# Full-batch gradient descent takes all examples for each step. With a rate that suits, the cost
# falls at every step.

# %%
histories = {}
for name, rate in {"too small": 0.01, "good": 3.0, "too large": 40.0}.items():
    history = descend(rate, len(x))
    cost = np.array(history.history["loss"])
    histories[f"{name}: {rate}"] = history
    print(f"rate {rate}: cost {cost[0]:.4f} at first, {cost[-1]:.4f} at last,"
          f" {(np.diff(cost) > 0).sum()} of {epochs - 1} steps went up")

# %%
ax = lm.plot.learning_curves(histories)
ax.set(yscale="log", ylabel="cost")
plt.suptitle("Cost by step for three learning rates (full batch)")
plt.show()

# %% [markdown]
# Mini-batches take some examples for each step: the slope is only roughly right, but there are
# many more steps in an epoch, so the cost falls sooner. Very small ones end in noise: the cost goes
# up and down around its lowest value.

# %%
sizes = {f"{size} rows a step": descend(0.3, size) for size in (len(x), 32, 8)}
for name, history in sizes.items():
    print(f"{name}: cost {history.history['loss'][-1]:.4f} after {epochs} epochs")
ax = lm.plot.learning_curves(sizes)
ax.set(yscale="log", ylabel="cost")
plt.suptitle("Cost by epoch for three sizes of batch, learning rate 0.3")
plt.show()
