# %% [markdown]
# # 3.1–3.2 One hidden layer
#
# The flower of the course: 400 points in two colours that no straight line separates. Logistic
# regression draws a straight line all the same. A network with one hidden layer, 2-4-1, has an
# input layer of 2 features, a hidden layer of 4 units that no data shows, and an output layer; the
# input does not count, so it is a network of 2 layers.
#
# Everything here is as published: the points, the first weights (0.01 times normal numbers), tanh,
# learning rate 1.2, all points for each step, in float64.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

plt.style.use(lm.plot.style())
iterations = 7001  # reduced: 1001
shorter = 5000  # reduced: 100
many = [1, 2, 3, 4, 5, 20, 50]  # reduced: [1, 4]

data = lm.datasets.load("planar")
x, y = data.x_train, data.y_train

# %%
line = LogisticRegression(C=1e6).fit(x, y)
print(f"logistic regression: {100 * line.score(x, y):.0f} % of the points")


# %%
def flower_network(units):
    draw = np.random.RandomState(2)  # the course's generator, and its order of drawing
    w1, w2 = 0.01 * draw.randn(units, 2), 0.01 * draw.randn(1, units)
    model = lm.Sequential(
        [lm.Dense(units, "tanh"), lm.Dense(1, "sigmoid")],
        loss="binary_cross_entropy", optimizer=lm.SGD(1.2), dtype="float64",
    )
    model.build(2).set_weights([w1.T, np.zeros(units), w2.T, np.zeros(1)])
    return model


model = flower_network(4)
history = model.fit(x, y, iterations, batch_size=len(x), shuffle=False, verbose=0)
published = (0.693048, 0.288083, 0.254385, 0.233864, 0.226792, 0.222644, 0.219731, 0.217504)
print("iteration", "cost", "published", sep="\t")
for number, cost in enumerate(history.history["loss"][::1000]):
    print(1000 * number, f"{cost:.6f}", f"{published[number]:.6f}", sep="\t")

# %%
figure, axes = plt.subplots(1, 2, figsize=(4.8, 2.7), sharey=True)
lm.plot.decision_boundary(model, x, y, ax=axes[1])
lm.plot.decision_boundary(line, x, y, ax=axes[0])
axes[0].set_title("logistic regression")
axes[1].set(title="one hidden layer of 4", ylabel="")
plt.suptitle("What each predicts, over the whole plane")
plt.show()

# %% [markdown]
# More hidden units bend the boundary more: 3 or 4 find the petals, and 50 begin to follow single
# points. With 1 and 2 units the right petals cannot be had at all.

# %%
figure, axes = plt.subplots(-(-len(many) // 2), 2, figsize=(4.8, 1.9 * -(-len(many) // 2)),
                            sharex=True, sharey=True)
for ax, units in zip(axes.flat, many, strict=False):
    network = flower_network(units)
    network.fit(x, y, shorter, batch_size=len(x), shuffle=False, verbose=0)
    right = 100 * np.mean(network.predict_classes(x) == y)
    print(f"{units} hidden units: {right:.2f} % of the points")
    lm.plot.decision_boundary(network, x, y, ax=ax)
    ax.set(title=f"{units}: {right:.2f} %", xlabel="", ylabel="")
for ax in axes.flat[len(many) :]:
    ax.axis("off")
plt.suptitle("Decision boundaries by the number of hidden units")
plt.show()
