# %% [markdown]
# # 1.1–1.2 From features to a label
#
# A neural network is a function with many adjustable numbers. It takes features and returns a
# label, and learning moves the numbers until it fits examples whose labels are known.
#
# The features may be the columns of a table, or the pixels of an image: the first is called
# structured data, the second unstructured. People find images easy and tables dull; to a network
# both are rows of numbers, and the same few lines learn either.

# %%
import lamina as lm
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

plt.style.use(lm.plot.style())
epochs = 40  # reduced: 4
seeds = 5  # reduced: 2

# %% [markdown]
# The table: 30 measurements of the cells in each of 569 breast biopsies, and whether the tumour
# was benign (Wisconsin, 1995; scikit-learn brings it along). The columns have different units, so
# `Standardize` first brings each to mean 0 and variance 1.

# %%
table = load_breast_cancer()
rows = train_test_split(table.data, table.target, stratify=table.target, random_state=0)
x_train, x_test, y_train, y_test = rows


def learn(seed):
    model = lm.Sequential(
        [lm.Standardize(), lm.Dense(16, "relu"), lm.Dense(1, "sigmoid")],
        loss="binary_cross_entropy", metrics=("accuracy",), seed=seed,
    )
    history = model.fit(x_train, y_train, epochs, validation_data=(x_test, y_test), verbose=0)
    return model, history


found = [learn(seed)[1].history["val_accuracy"][-1] for seed in range(seeds)]
print(f"table: {100 * np.mean(found):.1f} ± {100 * np.std(found):.1f} % of new patients right")

# %% [markdown]
# The images: handwritten digits of 8 x 8 pixels. Only the last layer differs, ten classes instead
# of two.

# %%
images, digits, new_images, new_digits = lm.datasets.load("digits")
images, digits = images[:1400], digits[:1400]


def read(seed):
    model = lm.Sequential(
        [lm.Dense(16, "relu"), lm.Dense(10, "softmax")],
        loss="cross_entropy", metrics=("accuracy",), seed=seed,
    )
    data = (new_images, new_digits)
    return model, model.fit(images, digits, epochs, validation_data=data, verbose=0)


found = [read(seed)[1].history["val_accuracy"][-1] for seed in range(seeds)]
print(f"images: {100 * np.mean(found):.1f} ± {100 * np.std(found):.1f} % of new digits right")

# %%
histories = {"table": learn(0)[1], "images": read(0)[1]}
lm.plot.learning_curves(histories, "accuracy")
plt.suptitle("One recipe for a table and for images: accuracy by epoch")
plt.show()
