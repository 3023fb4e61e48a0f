# %% [markdown]
# # 4.2 How deep, how wide, which activation?
#
# Depth is a hyper-parameter: nothing that is trained says how much of it a problem needs. The
# course's advice is to begin with logistic regression, then one hidden layer, then more, and to
# decide by rows held out from training. scikit-learn does the search, and lamina is the model.

# %%
import warnings

import lamina as lm
import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

plt.style.use(lm.plot.style())
warnings.simplefilter("ignore", ConvergenceWarning)  # how many epochs is said here
rows = 1400  # reduced: 150
epochs = 40  # reduced: 2
widths = [8, 32, 128]  # reduced: [8]

data = lm.datasets.load("digits")
x, y = data.x_train[:rows], data.y_train[:rows]

# %%
grid = {
    "hidden_layer_sizes": [(width,) * depth for depth in (1, 2, 3) for width in widths],
    "activation": ["tanh", "relu"],
}
network = lm.MLPClassifier(batch_size=32, max_iter=epochs, random_state=0)
folds = StratifiedKFold(4, shuffle=True, random_state=0)
search = GridSearchCV(network, grid, cv=folds).fit(x, y)
plain = GridSearchCV(LogisticRegression(max_iter=2000), {}, cv=folds).fit(x, y)

# %%
rows_of = [("logistic regression", "", plain.cv_results_["mean_test_score"][0],
            plain.cv_results_["std_test_score"][0])]
for each, mean, spread in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"],
    search.cv_results_["std_test_score"], strict=True,
):
    sizes = "-".join(map(str, each["hidden_layer_sizes"]))
    rows_of.append((sizes, each["activation"], mean, spread))
print("hidden layers", "activation", "held-out rows right", sep="\t")
for sizes, activation, mean, spread in rows_of:
    print(sizes, activation, f"{100 * mean:.1f} ± {100 * spread:.1f} %", sep="\t")

# %%
best = max(rows_of, key=lambda row: row[2])
good = [row for row in rows_of if row[2] >= best[2] - best[3]]
simplest = min(good, key=lambda row: sum(int(n) for n in row[0].split("-") if n.isdigit()))
names = [f"{sizes} {activation}".strip() for sizes, activation, *_ in (best, simplest)]
print(f"highest: {names[0]}, {100 * best[2]:.1f} %")
print(f"pick: {names[1]}, the smallest within one spread of it")
print(f"the highest on new images: {100 * search.score(data.x_test, data.y_test):.1f} % right")

# %% [markdown]
# On these digits that may well be logistic regression: 64 pixels and 1,400 rows leave little for
# depth to win, which is what the course means by beginning with it. On the clothes below it is
# another matter.

# %%
plt.figure(figsize=(4.8, 0.24 * len(rows_of) + 0.8))
labels = [f"{sizes} {activation}".strip() for sizes, activation, *_ in rows_of]
scores, spreads = np.array([row[2:] for row in rows_of]).T * 100
plt.errorbar(scores, range(len(labels)), xerr=spreads, fmt="o", markersize=4)
plt.yticks(range(len(labels)), labels)
plt.gca().invert_yaxis()
plt.xlabel("held-out rows right, %")
plt.suptitle("From logistic regression up: mean and spread of four folds")
plt.show()
