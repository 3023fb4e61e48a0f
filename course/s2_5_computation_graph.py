# %% [markdown]
# # 2.5–2.6 The computation graph
#
# A formula is computed in steps, from left to right: J = 3(a + bc) is u = bc, then v = a + u, then
# J = 3v. The derivatives are computed from right to left, by the chain rule: how J changes with v,
# then with u and a, then with b and c. Each step needs only its own derivative and what came from
# the right, so all derivatives together cost about as much as the value.

# %%
import lamina as lm
import matplotlib.pyplot as plt

plt.style.use(lm.plot.style())


def J(a, b, c):
    u = b * c
    v = a + u
    u.name, v.name = "u", "v"
    return 3 * v


# %%
traced = lm.trace(J, 5.0, 3.0, 2.0)
print(traced)

# %%
lm.plot.graph(traced)
plt.suptitle("J = 3(a + bc): values in blue, dJ/d… in orange")
plt.show()

# %% [markdown]
# Try it: if b rises by 0.001, u rises by 0.002, v by the same, and J by 0.006, so dJ/db is 6.

# %%
value, (da, db, dc) = lm.value_and_grad(J)(5.0, 3.0, 2.0)
moved = lm.value_and_grad(J)(5.0, 3.001, 2.0)[0]
print(f"J = {value:g}, dJ/da = {da:g}, dJ/db = {db:g}, dJ/dc = {dc:g}")
change = moved - value
print(f"b moves by 0.001: J moves by {change:.4f}, {change / 0.001:.2f} times as far")
