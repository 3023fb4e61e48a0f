# %% [markdown]
# # 2.8 Vectorisation: the loops go
#
# Gradient descent for logistic regression, first as one would say it: a loop over the examples, and
# in it a loop over the features. Then as products of matrices, which say what is wanted and leave
# the loops to code that is compiled, uses vector registers, and goes over memory once.

# %%
from timeit import timeit

import lamina as lm
import matplotlib.pyplot as plt
import numpy as np

plt.style.use(lm.plot.style())
rows, features = 1000, 64

draw = np.random.default_rng(0)
x = draw.standard_normal((rows, features))
y = (x[:, :1] + x[:, 1:2] > 0).astype(float)
start = 0.01 * draw.standard_normal((features, 1))


# %%
def step_with_loops(w, b, rate=0.1):
    dw, db = np.zeros_like(w), 0.0
    for i in range(rows):
        z = b
        for j in range(features):
            z += w[j, 0] * x[i, j]
        dz = 1 / (1 + np.exp(-z)) - y[i, 0]
        for j in range(features):
            dw[j, 0] += x[i, j] * dz / rows
        db += dz / rows
    return w - rate * dw, b - rate * db


def step_vectorised(w, b, rate=0.1):
    dz = 1 / (1 + np.exp(-(x @ w + b))) - y
    return w - rate * x.T @ dz / rows, b - rate * dz.mean()


# %%
def seconds(step, times):
    step()  # the first one may compile
    return timeit(step, number=times) / times


def one_epoch(backend, rounds):
    model = lm.Sequential(
        [lm.Dense(1, "sigmoid")], "binary_cross_entropy", lm.SGD(0.1),
        backend=backend, dtype="float64",
    )
    model.build(features).set_weights([start, [0.0]])
    model.fit(x, y, 1, rows, shuffle=False, verbose=0)
    learned = model.get_weights()
    taken = seconds(lambda: model.fit(x, y, rounds, rows, shuffle=False, verbose=0), 2) / rounds
    return learned, taken


# %%
w, b = step_with_loops(start, 0.0)
found = {"loops in Python": seconds(lambda: step_with_loops(start, 0.0), 1),
         "vectorised by hand": seconds(lambda: step_vectorised(start, 0.0), 50)}
for status in lm.backends():
    if status.available:
        (learned, bias), taken = one_epoch(status.name, 2 if status.name == "loops" else 200)
        assert np.allclose(learned, w), status.name
        assert np.allclose(bias, b), status.name
        found[f"lamina on {status.name}"] = taken
for name, taken in found.items():
    factor = found["loops in Python"] / taken
    print(f"{name}: {1e6 * taken:.0f} µs a step, {factor:.0f} times as fast as the loops")

# %%
plt.barh(list(found), [1e6 * taken for taken in found.values()])
plt.gca().set(xscale="log", xlabel="µs a step (logarithmic)", ylim=(len(found) - 0.5, -0.5))
plt.suptitle("One step of logistic regression, 1000 examples of 64 features")
plt.show()
