# %% [markdown]
# # 2.1 An image becomes a vector
#
# A picture of h x w pixels is a matrix. Logistic regression wants one vector for each example, so
# the rows of the matrix are put one after the other: h · w features. The course stacks the vectors
# as columns, X of shape (features, examples); in lamina, as in most libraries, an example is a
# *row*: x has the shape (examples, features).

# %%
import lamina as lm
import matplotlib.pyplot as plt

plt.style.use(lm.plot.style())
epochs = 60  # reduced: 5
rows = 1400  # reduced: 200

# %%
data = lm.datasets.load("digits")
image = data.x_train[0].reshape(8, 8)
vector = image.reshape(1, -1)
print(f"image of shape {image.shape}, vector of shape {vector.shape}")
print(f"all images: x has shape {data.x_train.shape}, y has shape {data.y_train.shape}")

# %%
figure, (left, right) = plt.subplots(2, figsize=(4.8, 3.6), height_ratios=(5, 1))
left.imshow(image, cmap="Greys")
left.set_title("8 x 8 pixels")
right.imshow(vector, cmap="Greys", aspect="auto")
right.set_title("the same as a vector of 64 features")
right.set_yticks([])
for ax in (left, right):
    ax.grid(False)
plt.suptitle("An image, and what a network is given of it")
plt.show()

# %% [markdown]
# Binary classification answers yes or no, y = 1 or y = 0. Here: is the digit a 3? One digit
# against the rest makes of ten classes two, and nine rows of ten are a no.

# %%
x, y = data.x_train[:rows], (data.y_train[:rows] == 3).astype(int)
x_new, y_new = data.x_test, (data.y_test == 3).astype(int)
model = lm.Sequential(
    [lm.Dense(1, "sigmoid")], loss="binary_cross_entropy",
    optimizer=lm.Adam(0.02), metrics=("accuracy",), seed=0,
)
model.fit(x, y, epochs, verbose=0)
right = 100 * model.evaluate(x_new, y_new)["accuracy"]
print(f"is it a 3? {right:.1f} % of new images right; always no: {100 * (1 - y_new.mean()):.1f} %")

# %% [markdown]
# Nine tenths are right without learning anything, so accuracy alone says little here. The matrix
# counts which rows were taken for what, and the curve what another threshold than 0.5 would do.

# %%
lm.plot.confusion_matrix(model, x_new, y_new, ["not 3", "3"], plt.subplots(figsize=(3, 2.6))[1])
plt.suptitle("Errors of both kinds: is it a 3?")
plt.show()
lm.plot.roc(model, x_new, y_new)
plt.suptitle("Threes that are found, against false alarms, for every threshold")
plt.show()
lm.plot.weights(model, columns=1, ax=plt.subplots(figsize=(2.4, 2.4))[1])
plt.suptitle("The 64 weights as an image: red pixels speak for a 3, blue against it")
plt.show()
