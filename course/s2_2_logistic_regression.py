# %% [markdown]
# # 2.2 Logistic regression, loss and cost
#
# The prediction is a probability, $\hat y = \sigma(w^T x + b)$, where
# $\sigma(z) = 1 / (1 + e^{-z})$ squeezes any number into (0, 1). In lamina that is one layer of
# one unit.
#
# Two words are kept apart. The *loss* judges one example,
# $L(\hat y, y) = -y \log \hat y - (1 - y) \log (1 - \hat y)$; the *cost* is its mean over all m
# examples, $J = \frac{1}{m} \sum_i L(\hat y^{(i)}, y^{(i)})$, and is what training makes small.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())

model = lm.Sequential([lm.Dense(1, "sigmoid")], "binary_cross_entropy", dtype="float64", seed=0)
model.build(2)
model.set_weights([[[1.0], [-2.0]], [0.5]])

x = np.array([[1.0, 0.2], [0.3, 1.0], [-1.0, 0.5], [2.0, -1.0]])
y = np.array([1, 0, 1, 1])

# %%
predicted = model.predict(x)[:, 0]
loss = -y * np.log(predicted) - (1 - y) * np.log(1 - predicted)
print("y", "prediction", "loss of the example", sep="\t")
for label, p, one in zip(y, predicted, loss, strict=True):
    print(label, f"{p:.4f}", f"{one:.4f}", sep="\t")
print(f"cost, the mean of the losses: {loss.mean():.6f}")
print(f"the same from the library: {model.evaluate(x, y)['loss']:.6f}")

# %% [markdown]
# The third example is wrong and sure of it, and pays for most of the cost. Where the truth is 1 the
# loss falls to 0 as the prediction nears 1, and grows without bound as it nears 0.

# %%
p = np.linspace(0.005, 0.995, 300)
plt.plot(p, -np.log(p), label="y = 1")
plt.plot(p, -np.log(1 - p), label="y = 0")
plt.xlabel("prediction")
plt.ylabel("loss")
plt.legend()
plt.suptitle("Loss of one example by what was predicted")
plt.show()

# %% [markdown]
# Computed by that formula, a prediction that is rounded to 0 or 1 has a loss of inf or nan. The
# library never rounds: sigmoid and loss are one operation of z.

# %%
sure = [lm.ops.sigmoid, lambda z: -lm.ops.log(1 - lm.ops.sigmoid(z))]
print(f"z = 40, y = 0: the loss is 40, computed {lm.value_and_grad(sure[1])(40.0)[0]:.6f}")
