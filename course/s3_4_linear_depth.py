# %% [markdown]
# # 3.4 Without a nonlinearity depth is nothing
#
# If g(z) = z, two layers compute (x W1 + b1) W2 + b2 = x (W1 W2) + (b1 W2 + b2): one layer with
# another matrix. However many there are, the whole is linear. A linear *output* has its use,
# though: for regression, where the label is a real number such as a price.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
epochs = 400  # reduced: 20

data = lm.datasets.load("planar")
x, y = data.x_train, data.y_train


def flower(*hidden):
    model = lm.Sequential(
        [*hidden, lm.Dense(1, "sigmoid")], "binary_cross_entropy", lm.Adam(0.02), ("accuracy",),
        dtype="float64", seed=0,
    )
    model.fit(x, y, epochs, batch_size=100, verbose=0)
    return model


# %%
linear = flower(lm.Dense(16), lm.Dense(16), lm.Dense(16))
bent = flower(lm.Dense(16, "tanh"), lm.Dense(16, "tanh"), lm.Dense(16, "tanh"))
one = np.eye(2), np.zeros((1, 2))
for weight, bias in zip(*[iter(linear.get_weights())] * 2, strict=True):
    one = one[0] @ weight, one[1] @ weight + bias
matrix, bias = one[0].ravel().round(4), one[1].ravel().round(4)
print(f"four layers without activation are one: matrix {matrix}, bias {bias}")
same = 1 / (1 + np.exp(-(x @ one[0] + one[1])))
print(f"largest difference of the predictions: {np.abs(same - linear.predict(x)).max():.1e}")
for name, model in {"without activation": linear, "with tanh": bent}.items():
    print(f"{name}: {100 * model.evaluate(x, y)['accuracy']:.1f} % of the points")

# %%
figure, axes = plt.subplots(1, 2, figsize=(4.8, 2.7), sharey=True)
for ax, name, model in zip(axes, ("no activation", "tanh"), (linear, bent), strict=True):
    lm.plot.decision_boundary(model, x, y, ax=ax)
    ax.set_title(name)
axes[1].set_ylabel("")
plt.suptitle("Four layers: the straight line of one layer, or petals")
plt.show()

# %% [markdown]
# Regression: hidden units with tanh, the output without activation, and the squared error.

# %%
t = np.linspace(-3, 3, 200).reshape(-1, 1)
target = np.sin(2 * t) + 0.1 * np.random.default_rng(0).standard_normal(t.shape)
curves = {}
for name, output in {"linear output": None, "ReLU output": "relu"}.items():
    model = lm.Sequential([lm.Dense(24, "tanh"), lm.Dense(24, "tanh"), lm.Dense(1, output)],
                          "mean_squared_error", lm.Adam(0.01), dtype="float64", seed=0)
    model.fit(t, target, epochs, batch_size=50, verbose=0)
    curves[name] = model.predict(t)
    print(f"{name}: mean squared error {model.evaluate(t, target)['loss']:.4f}")
plt.plot(t, target, ".", markersize=3, alpha=0.6, label="examples")
for name, curve in curves.items():
    plt.plot(t, curve, label=name)
plt.xlabel("x")
plt.ylabel("y")
plt.legend()
plt.suptitle("A linear output reaches below 0; ReLU cannot")
plt.show()
