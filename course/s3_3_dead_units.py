# %% [markdown]
# # 3.3 Units that never fire
#
# Where z is below 0, ReLU is off: its output is 0 and so is its derivative. Half of a layer off for
# any one example is no harm; the course calls the activity sparse. A unit that is off for *all*
# examples is dead: no gradient reaches it, so it never comes back. Leaky ReLU has a slope of 0.01
# there, and its units can.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
epochs = 20  # reduced: 2
rows = 1400  # reduced: 100
seeds = 3  # reduced: 1
rates = [0.001, 0.01, 0.03, 0.1]  # reduced: [0.001, 0.1]

data = lm.datasets.load("digits")
x, y = data.x_train[:rows], data.y_train[:rows]


def hidden(model):
    """What goes into each hidden unit, for every example."""
    weight, bias = model.get_weights()[:2]
    return x @ weight + bias


def train(activation, rate, seed):
    model = lm.Sequential(
        [lm.Dense(64, activation), lm.Dense(10, "softmax")], "cross_entropy",
        lm.Adam(rate), ("accuracy",), dtype="float64", seed=seed,
    )
    model.fit(x, y, epochs, verbose=0)
    z = hidden(model)
    right = model.evaluate(data.x_test, data.y_test)["accuracy"]
    return 100 * np.array([np.mean(z <= 0), np.mean((z <= 0).all(axis=0)), right])


# %% [markdown]
# A large learning rate throws units over the edge: one large step, and z is negative for every
# image.

# %%
print("activation", "learning rate", "off", "always off", "new images right", sep="\t")
dead = {}
for activation in ("relu", "leaky_relu"):
    for rate in rates:
        found = np.array([train(activation, rate, seed) for seed in range(seeds)])
        dead.setdefault(activation, []).append(found[:, 1])
        columns = zip(found.mean(axis=0), found.std(axis=0), strict=True)
        print(activation, rate, *(f"{m:.1f} ± {s:.1f} %" for m, s in columns), sep="\t")

# %%
for activation, shares in dead.items():
    mean, spread = np.mean(shares, axis=1), np.std(shares, axis=1)
    plt.errorbar(rates, mean, spread, marker="o", markersize=4, label=activation)
plt.gca().set(xscale="log", xlabel="learning rate of Adam", ylabel="units below 0 for all rows, %")
plt.legend()
plt.suptitle("Units that are off for every example, after training")
plt.show()
