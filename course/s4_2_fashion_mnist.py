# %% [markdown]
# # 4.2 A benchmark: clothes
#
# Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017) has 60,000 pictures of clothes to learn from and
# 10,000 to test on. The paper's table 3 lists dense networks by their hidden layers, and the data
# set's page one more. The same networks, trained here:

# %%
import lamina as lm
import matplotlib.pyplot as plt

plt.style.use(lm.plot.style())
epochs = 5  # reduced: 1
rows = 60000  # reduced: 24

try:
    data = lm.datasets.load("fashion-mnist")
except lm.BadInput as missing:
    print(missing)
    print("the digits take its place, and are not comparable with what was published")
    data = lm.datasets.load("digits")
x, y = data.x_train[:rows], data.y_train[:rows]
x_test, y_test = data.x_test[:rows], data.y_test[:rows]

published = {
    ("relu", 100): 0.871,
    ("relu", 100, 10): 0.870,
    ("tanh", 100): 0.868,
    ("relu", 256, 128, 100): 0.8833,
}

# %%
histories = {}
print("network", "measured", "published", sep="\t")
for (activation, *sizes), value in published.items():
    model = lm.Sequential(
        [*(lm.Dense(size, activation) for size in sizes), lm.Dense(10, "softmax")],
        "cross_entropy", lm.Adam(1e-3), ("accuracy",), seed=0,
    )
    batch = min(128, len(x))
    name = f"{activation} {'-'.join(map(str, sizes))}"
    histories[name] = model.fit(x, y, epochs, batch, validation_data=(x_test, y_test), verbose=0)
    found = model.evaluate(x_test, y_test)["accuracy"]
    print(name, f"{found:.4f}", f"{value:.4f}", sep="\t")

# %%
lm.plot.learning_curves(histories, "val_accuracy").set_ylabel("accuracy on new images")
plt.suptitle("Accuracy by epoch")
plt.show()

# %% [markdown]
# What the last network mistakes for what: shirts are hard for people, too.

# %%
names = [name.split("/")[0] for name in data.class_names]
ax = lm.plot.confusion_matrix(model, x_test, y_test, names)
ax.tick_params(axis="x", rotation=60)
plt.suptitle("Down: what it is; across: what it was taken for")
plt.show()

# %% [markdown]
# Binary classification of the same pictures: a shirt, or not?

# %%
shirt = data.class_names.index("Shirt") if "Shirt" in data.class_names else 8
binary = lm.Sequential([lm.Dense(64, "relu"), lm.Dense(1, "sigmoid")], "binary_cross_entropy",
                       metrics=("accuracy",), seed=0)
binary.fit(x, y == shirt, max(1, epochs // 2), batch, verbose=0)
right = 100 * binary.evaluate(x_test, y_test == shirt)["accuracy"]
print(f"one class against the rest: {right:.1f} % right")
lm.plot.calibration(binary, x_test, y_test == shirt)
plt.suptitle("Of those called a shirt with this probability, how many are?")
plt.show()
