# %% [markdown]
# # 3.5 Which activation? Try them
#
# The course gives rules of thumb, and then the honest advice: if unsure, try them all, and take the
# one that does best on data held out for that purpose. Here scikit-learn does the trying, five
# times with other rows held out, and lamina the learning.

# %%
import warnings

import lamina as lm
import matplotlib.pyplot as plt
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

plt.style.use(lm.plot.style())
warnings.simplefilter("ignore", ConvergenceWarning)  # how many epochs is said here
rows = 1400  # reduced: 150
epochs = 40  # reduced: 3

data = lm.datasets.load("digits")
x, y = data.x_train[:rows], data.y_train[:rows]

# %%
network = lm.MLPClassifier(
    hidden_layer_sizes=(32, 32), batch_size=32, max_iter=epochs, random_state=0
)
search = GridSearchCV(network, {"activation": ["logistic", "tanh", "relu", "identity"]}, cv=5)
search.fit(x, y)

# %%
found = search.cv_results_
names = [each["activation"] for each in found["params"]]
scores, spreads = 100 * found["mean_test_score"], 100 * found["std_test_score"]
print("activation", "held-out rows right", sep="\t")
for name, score, spread in zip(names, scores, spreads, strict=True):
    print(name, f"{score:.1f} ± {spread:.1f} %", sep="\t")
print(f"chosen: {search.best_params_['activation']},"
      f" {100 * search.score(data.x_test, data.y_test):.1f} % of new images right")

# %%
plt.errorbar(scores, range(len(names)), xerr=spreads, fmt="o")
plt.yticks(range(len(names)), names)
plt.ylim(-0.5, len(names) - 0.5)
plt.xlabel("held-out rows right, %")
plt.suptitle("Two hidden layers of 32, digits: mean and spread of five folds")
plt.show()

# %% [markdown]
# Differences smaller than the spread are no reason to prefer one. The last row has no nonlinearity:
# it is what depth without one is worth.
