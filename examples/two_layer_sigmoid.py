"""The two-layer sigmoid network of the textbooks: it learns XOR, which no single unit can.

The loss is the mean squared error; the weight changes of all records are summed and divided by their number.
Writes two_layer_sigmoid.png, the learning curve.
"""

import sys
from pathlib import Path

import fastnet as fn

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
x, y = fn.datasets.xor()
small = fn.initializers.uniform(-1.0, 1.0)
layers = [fn.Dense(4, "sigmoid", weights_init=small), fn.Dense(1, "sigmoid", weights_init=small)]
net = fn.Network(layers, inputs=2, dtype="float64", seed=3)
print(net.summary())

history = net.fit(
    x,
    y,
    loss="mean_squared_error",
    optimizer=fn.SGD(2.0),
    epochs=5000,
    batch_size=4,
    shuffle=False,
    verbose=0,
)
print(f"\nmean squared error {history['loss'][0]:.4f} -> {history['loss'][-1]:.6f}")
for row, target, output in zip(x.astype(int), y, net.predict(x)[:, 0], strict=True):
    print(f"  {row[0]} xor {row[1]} = {output:.3f}, wanted {target}")
history.plot(folder / "two_layer_sigmoid.png")
print(f"wrote {folder / 'two_layer_sigmoid.png'}")
