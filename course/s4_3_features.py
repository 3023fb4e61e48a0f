# %% [markdown]
# # 4.3 From simple features to whole objects
#
# The usual picture of a deep network: early layers find edges and spots, later ones put them
# together to parts, and parts to objects. Here is what can be seen of it in a small network.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

plt.style.use(lm.plot.style())
epochs = 60  # reduced: 3
rows = 1400  # reduced: 150

data = lm.datasets.load("digits")
x, y = data.x_train[:rows], data.y_train[:rows]
sizes = (16, 16, 16)
model = lm.Sequential(
    [*(lm.Dense(size, "relu") for size in sizes), lm.Dense(10, "softmax")],
    "cross_entropy", lm.Adam(3e-3), ("accuracy",), dtype="float64", seed=1,
)
model.fit(x, y, epochs, verbose=0)
print(f"{100 * model.evaluate(data.x_test, data.y_test)['accuracy']:.1f} % of new images right")

# %% [markdown]
# A unit of the first layer sees pixels, so its weights are a picture: what it looks for is red,
# what speaks against it blue.

# %%
lm.plot.weights(model, columns=8)
plt.suptitle("What each of the 16 first units looks for")
plt.show()

# %% [markdown]
# A unit of a later layer sees other units. What it answers to can be drawn as the mean of the
# images that excite it most, less the mean of all.

# %%
outputs, after = [x], x
arrays = model.get_weights()
for w, b in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
    after = np.maximum(after @ w + b, 0)
    outputs.append(after)
figure, axes = plt.subplots(3, 1, figsize=(4.8, 4.6))
for layer, ax in enumerate(axes, 1):
    strongest = np.argsort(outputs[layer], axis=0)[-40:]
    pictures = x[strongest].mean(axis=0) - x.mean(axis=0)
    lm.plot.weights(pictures.T, columns=8, ax=ax)
    ax.set_title(f"layer {layer}")
plt.suptitle("Mean of the images that excite each unit most")
plt.show()

# %% [markdown]
# And in numbers: how well can a straight line (logistic regression) tell the digits from what each
# layer says? And how many different digits excite one unit?

# %%
test = data.x_test
print("features", "new images right", "digits among the 40 that excite a unit most", sep="\t")
for layer, known in enumerate(outputs):
    line = LogisticRegression(max_iter=5000).fit(known, y)
    strongest = np.argsort(known, axis=0)[-40:]
    kinds = np.mean([len(np.unique(y[rows])) for rows in strongest.T])
    name = f"layer {layer}" if layer else "pixels"
    print(name, f"{100 * line.score(test, data.y_test):.1f} %", f"{kinds:.1f}", sep="\t")
    if layer < len(sizes):
        w, b = arrays[2 * layer], arrays[2 * layer + 1]
        test = np.maximum(test @ w + b, 0)

# %% [markdown]
# The course's sentence that a shallow network would need exponentially many units is about
# particular functions, such as the parity of many bits; nothing on this page tests it.
