"""Epochs of Fashion-MNIST where it is installed, else of the digits, and the accuracy then."""

from __future__ import annotations

import time
from typing import Any

from ..networks import Network, model_for
from ..peers.measurement import fashion_or_digits
from ..peers.peer import Task
from .writing import argument, backend, size, write

EPOCHS = size(5, 2)

if __name__ == "__main__":
    data, features = size(fashion_or_digits(), ("digits", 64))
    task = Task("epoch", Network((features, 128, 10), 128), data=data)
    model, (x, y) = model_for(task.network, "cupy"), task.training_set
    found: dict[str, Any] = {
        "device": backend().device, "data": data, "network": task.network.name, "seconds": [],
        "accuracy": [],
    }  # fmt: skip
    for _ in range(EPOCHS):
        start = time.perf_counter()
        model.fit(x, y, epochs=1, batch_size=128, verbose=0)
        found["seconds"].append(time.perf_counter() - start)
        rows, labels = task.test_set
        predicted = model.predict(rows).argmax(axis=1)
        found["accuracy"].append(float((predicted == labels).mean()))
        write(argument(), found)
        print(found, flush=True)
