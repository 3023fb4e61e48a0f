# %% [markdown]
# # 2.4 Two cost surfaces
#
# Why not the squared error, as in linear regression? For a prediction that went through a sigmoid
# its cost is not convex: there are flat parts, and valleys that are not the deepest. The
# cross-entropy of the same predictions is convex, with one valley. Both can be looked at, because
# logistic regression with one feature has two parameters, w and b.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
steps = 101  # reduced: 13
starts = 100  # reduced: 4

# Six examples; the last one is an outlier on the wrong side.
x = np.array([[-3.0], [-1.5], [-0.5], [0.5], [1.0], [6.0]])
y = np.array([[0.0], [0.0], [0.0], [1.0], [1.0], [0.0]])

# %%
w, b = np.meshgrid(np.linspace(-8, 8, steps), np.linspace(-8, 8, steps))
z = x[:, :, None] * w + b  # (examples, 1, 1) with (steps, steps): all places at once
a = 1 / (1 + np.exp(-z))
y_each = y[:, :, None]
surfaces = {
    "squared error": ((a - y_each) ** 2).mean(axis=0),
    "cross-entropy": (np.logaddexp(0, z) - y_each * z).mean(axis=0),  # of z, and finite
}
figure, axes = plt.subplots(1, 2, figsize=(4.8, 2.7), sharey=True)
for ax, (name, surface) in zip(axes, surfaces.items(), strict=True):
    ax.contourf(w, b, surface, 24)
    ax.contour(w, b, surface, 24, colors="white", linewidths=0.4, alpha=0.6)
    ax.set(title=name, xlabel="w")
axes[0].set_ylabel("b")
plt.suptitle("Cost by w and b: dark is low, and close lines are steep")
plt.show()

# %% [markdown]
# Gradient descent from many random places tells the same. Where the surface is convex, all roads
# lead to one valley. Where it is not, some end elsewhere, and some have not moved at all: the
# gradient of a saturated sigmoid is nearly zero, however wrong it is.

# %%
draw = np.random.default_rng(0)
for name in surfaces:
    place = draw.uniform(-8, 8, (2, starts))
    ends = []
    for i, j in place.T:
        model = lm.Sequential(
            [lm.Dense(1, "sigmoid")], {"squared error": "mean_squared_error",
                                       "cross-entropy": "binary_cross_entropy"}[name],
            optimizer=lm.SGD(1.0), dtype="float64", seed=0,
        )
        model.build(1).set_weights([[[i]], [j]])
        model.fit(x, y, epochs=400, batch_size=len(x), verbose=0)
        ends.append(model.evaluate(x, y)["loss"])
    ends = np.array(ends)
    stuck = 100 * np.mean(ends > ends.min() + 0.01)
    print(f"{name}: lowest cost {ends.min():.4f}, highest {ends.max():.4f} after descent,"
          f" {stuck:.1f} % of the starts end more than 0.01 above the lowest")
