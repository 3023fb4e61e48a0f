# %% [markdown]
# # 3.3, 3.5 Activations
#
# - sigmoid, between 0 and 1: for the output of a yes or no, hardly ever inside;
# - tanh, between −1 and 1: its mean is near 0, which the next layer likes; the course calls it
#   almost always better than sigmoid;
# - ReLU, max(0, z): no ceiling, and a derivative of 1 wherever it is on; the usual choice;
# - leaky ReLU, max(0.01 z, z): lets a little through where ReLU is off.
#
# Their derivatives: g' = a(1 − a) for sigmoid, at most 0.25; g' = 1 − a² for tanh, at most 1; 0 or
# 1 for ReLU; 0.01 or 1 for leaky ReLU.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
activation = "tanh"  # try: sigmoid, relu, leaky_relu
epochs = 2000  # reduced: 30
seeds = 5  # reduced: 2

# %%
lm.plot.activations(["sigmoid", "tanh", "relu", "leaky_relu"])
plt.suptitle("Four activations and their derivatives")
plt.show()
for name, at in (("sigmoid", 0.0), ("sigmoid", 10.0), ("tanh", 0.0), ("tanh", 10.0)):
    slope = lm.grad(getattr(lm.ops, name))(at)
    print(f"{name}: slope at z = {at:g} is {slope:.6f}")

# %% [markdown]
# The flower once more, with the activation that the line above names.

# %%
data = lm.datasets.load("planar")


def learn(activation, seed):
    model = lm.Sequential(
        [lm.Dense(8, activation), lm.Dense(1, "sigmoid")], "binary_cross_entropy",
        lm.SGD(0.2), ("accuracy",), dtype="float64", seed=seed,
    )
    history = model.fit(data.x_train, data.y_train, epochs, 400, shuffle=False, verbose=0)
    return model, history


model, history = learn(activation, 0)
right = 100 * model.evaluate(data.x_test, data.y_test)["accuracy"]
print(f"{activation}: {right:.2f} % of new points right")
lm.plot.decision_boundary(model, data.x_test, data.y_test)
plt.suptitle("The flower, new points")
plt.show()

# %% [markdown]
# Is tanh always better than sigmoid, and ReLU faster than both? Measured: the cost after a tenth of
# the training and at its end, and the accuracy on new points; mean and spread over seeds.

# %%
print("activation", "cost early", "cost late", "new points right", sep="\t")
early, curves = epochs // 10, {}
for name in ("sigmoid", "tanh", "relu", "leaky_relu"):
    runs = [learn(name, seed) for seed in range(seeds)]
    curves[name] = runs[0][1]
    costs = np.array([h.history["loss"] for _, h in runs])
    scores = [100 * m.evaluate(data.x_test, data.y_test)["accuracy"] for m, _ in runs]
    columns = (costs[:, early], costs[:, -1], scores)
    print(name, *(f"{np.mean(c):.3g} ± {np.std(c):.2g}" for c in columns), sep="\t")
ax = lm.plot.learning_curves(curves)
ax.set_ylabel("cost")
plt.suptitle("Cost by epoch, one seed of each activation")
plt.show()

# %% [markdown]
# tanh before sigmoid: yes, as the course says. ReLU learns faster than both: **not here.** In a
# network of one small hidden layer on two features it is behind tanh all the way, ends behind
# sigmoid, and spreads most over seeds: some of its few units start, or end, on the wrong side of
# all points. What the course says of ReLU is about deep networks: see the next sections.
