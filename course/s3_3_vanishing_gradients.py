# %% [markdown]
# # 3.3 Vanishing gradients
#
# Going back through a layer multiplies the gradient by the layer's weights and by g'(z). With
# sigmoid that is at most 0.25: after ten layers at most a millionth is left, and the first layers
# stand still. tanh has 1 at z = 0, but less wherever it saturates; ReLU has 1 wherever it is on.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
depths = [2, 5, 10, 20]  # reduced: [2, 5]
seeds = 5  # reduced: 2
rows = 256  # reduced: 40

data = lm.datasets.load("digits")
x, y = data.x_train[:rows], data.y_train[:rows]
names = ("sigmoid", "tanh", "relu", "leaky_relu")


def deep(activation, depth, seed):
    layers = [lm.Dense(32, activation) for _ in range(depth)]  # He's or Xavier's weights, by name
    model = lm.Sequential(
        [*layers, lm.Dense(10, "softmax")], "cross_entropy", dtype="float64", seed=seed
    )
    return model.build(64)


def norms(activation, depth, seed):
    layers = deep(activation, depth, seed).gradients(x, y)
    return np.array([np.linalg.norm(layer["weight"]) for layer in layers])


# %%
lm.plot.gradient_norms({name: deep(name, depths[-1], 0).gradients(x, y) for name in names})
plt.suptitle("Norm of each layer's gradient before training, in the deepest network")
plt.show()

# %% [markdown]
# The first hidden layer's gradient, as a share of the last hidden layer's: how much of the signal
# comes through. Geometric means over seeds; the factor after ± says how far they spread.

# %%
print("hidden layers", *names, sep="\t")
for depth in depths:
    cells = []
    for name in names:
        found = [norms(name, depth, seed) for seed in range(seeds)]
        shares = np.log10([one[0] / one[depth - 1] for one in found])
        cells.append(f"{10 ** shares.mean():.2g} (± {10 ** shares.std():.2g})")
    print(depth, *cells, sep="\t")

# %% [markdown]
# The course's sentence that sigmoid's gradients vanish is right, and how fast they do is plain to
# see. That ReLU's and tanh's do not is due to the weights they start with as well: see 3.7.

# %% [markdown]
# And who learns fastest? The cost after some epochs of Adam, in a shallow and in a deep network.

# %%
epochs = 15  # reduced: 2
print("hidden layers", *names, sep="\t")
for depth in (1, *depths):
    cells = []
    for name in names:
        models = [deep(name, depth, seed) for seed in range(seeds)]
        costs = [m.fit(x, y, epochs, verbose=0).history["loss"][-1] for m in models]
        cells.append(f"{np.mean(costs):.3f} ± {np.std(costs):.3f}")
    print(depth, *cells, sep="\t")

# %% [markdown]
# From five hidden layers on sigmoid does not learn at all: as the course says. That ReLU learns
# faster than tanh, its other sentence, **cannot be seen here** at any depth: with 5 and 10 layers
# the two differ by less than the spread over seeds, and with 1, 2 and 20 tanh is ahead. Each began
# with weights by the rule that suits it (Xavier for tanh, He for ReLU), which matters more.
