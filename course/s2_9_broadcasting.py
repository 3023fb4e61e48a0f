# %% [markdown]
# # 2.9 Broadcasting, axes, and arrays of rank 1
#
# An array of shape (1, n) beside one of (m, n) is used for each of the m rows, as if it were copied
# m times; a bias is added so. `axis=0` runs down the rows and leaves one number for each column,
# `axis=1` runs along them and leaves one for each row.

# %%
import lamina as lm
import numpy as np

calories = np.array([[56.0, 0.0, 4.4, 68.0],
                     [1.2, 104.0, 52.0, 8.0],
                     [1.8, 135.0, 99.0, 0.9]])
total = calories.sum(axis=0, keepdims=True)
print(f"columns: shape {total.shape}, sums {total}")
print(f"percentages, {calories.shape} / {total.shape}:")
print(np.round(100 * calories / total, 1))


# %% [markdown]
# The same rules hold for nodes of a graph, on every backend, and the derivative of a value that was
# used m times is the sum over its uses.

# %%
x = np.ones((3, 2))
gradient = lm.grad(lambda b: (x + b).sum())(np.zeros((1, 2)))
print(f"x: {x.shape}, b: {(1, 2)}, the sum's derivative for b: {gradient}")

# %% [markdown]
# An array of rank 1, of shape (n,), is neither a row nor a column. Its transpose is itself, and
# beside a column it makes a matrix that nobody asked for. The course's advice: never use one, and
# assert shapes.

# %%
column, rank_1 = np.zeros((4, 1)), np.zeros(4)
print(f"rank 1: shape {rank_1.shape}, its transpose {rank_1.T.shape}")
print(f"labels {column.shape} minus predictions {rank_1.shape}: shape {(column - rank_1).shape}")
assert rank_1.reshape(-1, 1).shape == (4, 1)

# %% [markdown]
# lamina refuses features of rank 1, and says what to do. Labels may be (n,) or (n, 1): both mean
# the same, and no matrix comes of them.

# %%
model = lm.Sequential([lm.Dense(1)], "mean_squared_error", lm.SGD(0.1), seed=0)
try:
    model.fit(np.zeros(4), np.zeros(4), batch_size=4)
except lm.ShapeError as error:
    print(error)
model.fit(np.zeros((4, 2)), np.zeros(4), batch_size=4, verbose=0)
try:
    model.predict(np.zeros((4, 3)))
except lm.ShapeError as error:
    print(error)
