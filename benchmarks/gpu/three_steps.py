"""Three captured steps and a prediction, for compute-sanitizer to watch."""

from __future__ import annotations

from .writing import backend, model, rows

if __name__ == "__main__":
    one = model(backend())
    x, y = rows(96)
    one.fit(x, y, epochs=1, batch_size=32, verbose=0)
    one.fit(x, y, epochs=2, batch_size=32, verbose=0)
    print("three steps a pass:", one.predict(x).shape, one.state.step)
