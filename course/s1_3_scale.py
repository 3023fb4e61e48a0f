# %% [markdown]
# # 1.3 Why scale matters
#
# The course draws a picture: with little data all methods are close, and which one wins is a matter
# of skill; with much data the larger network wins. That picture can be measured: three models,
# more and more rows of Fashion-MNIST (clothes, 28 x 28 pixels), each trained for 1,000 steps, or 6
# epochs where those are more, and tested on the same 10,000 new images.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
sizes = [100, 300, 1000, 3000, 10000, 60000]  # reduced: [20, 60]
steps = 1000  # reduced: 2
epochs = 6  # reduced: 1
seeds = 3  # reduced: 1
tested = 10000  # reduced: 30

networks = {"logistic regression": [], "small network": [16], "large network": [256, 128]}

# %% [markdown]
# Where Fashion-MNIST is not installed, the embedded digits take its place: they are too few to
# see the right half of the picture.

# %%
try:
    data = lm.datasets.load("fashion-mnist")
except lm.BadInput as missing:
    print(missing)
    data = lm.datasets.load("digits")
    sizes = [size for size in sizes if size <= len(data.x_train)]
x_test, y_test = data.x_test[:tested], data.y_test[:tested]


def accuracy(hidden, rows, seed):
    chosen = np.random.default_rng(seed).permutation(len(data.x_train))[:rows]
    model = lm.Sequential(
        [*(lm.Dense(units, "relu") for units in hidden), lm.Dense(10, "softmax")],
        loss="cross_entropy", optimizer=lm.Adam(1e-3), metrics=("accuracy",), seed=seed,
    )
    batch = min(64, rows)
    rounds = max(epochs, steps * batch // rows)
    model.fit(data.x_train[chosen], data.y_train[chosen], rounds, batch, verbose=0)
    return 100 * model.evaluate(x_test, y_test)["accuracy"]


# %%
print("rows", *networks, sep="\t")
found = np.array([[[accuracy(hidden, rows, seed) for seed in range(seeds)]
                   for hidden in networks.values()] for rows in sizes])
mean, spread = found.mean(axis=2), found.std(axis=2)
for rows, right, error in zip(sizes, mean, spread, strict=True):
    print(rows, *(f"{r:.1f} ± {e:.1f} %" for r, e in zip(right, error, strict=True)), sep="\t")

# %%
for number, name in enumerate(networks):
    plt.errorbar(sizes, mean[:, number], spread[:, number], marker="o", markersize=4, label=name)
plt.xscale("log")
plt.xlabel("rows to learn from")
plt.ylabel("accuracy on new images, %")
plt.legend(loc="lower right")
plt.suptitle("Accuracy by the amount of data, for three sizes of network")
plt.show()

# %% [markdown]
# What to look for: on the left the lines lie close together; on the right they part, and the
# order is that of the sizes. The bars are the spread over seeds, which draw other rows and weights.

# %%
gain = mean[:, 2] - mean[:, 0]
print(f"large network minus logistic regression: {gain[0]:.1f} points with {sizes[0]} rows,"
      f" {gain[-1]:.1f} points with {sizes[-1]} rows")
