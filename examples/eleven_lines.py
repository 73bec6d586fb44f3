"""The network of eleven lines: three inputs, one sigmoid unit, no bias; and every number of its first step.

After A. Trask, "A Neural Network in 11 lines of Python (Part 1)", 2015.
"""

import fastnet as fn

x, y = fn.datasets.trask()  # 001, 011, 101, 111; the answer is the first bit
weights = [[0.39293837], [-0.42772133], [-0.54629709]]
unit = fn.Dense(1, "sigmoid", bias=False, weights_init=weights)
net = fn.Network([unit], inputs=3, dtype="float64", seed=0)

print(fn.explain(net, x, y, loss="half_squared_error", learning_rate=1.0))

trainer = fn.Trainer(net, loss="half_squared_error", optimizer=fn.SGD(1.0))
trainer.fit(x, y, epochs=10_000, batch_size=4, shuffle=False, verbose=0)
print(f"\nafter {trainer.steps:,} steps: weights {net.layers[0].weights[:, 0].round(4)}")
for row, target, output in zip(x.astype(int), y, net.predict(x)[:, 0], strict=True):
    print(f"  {row} -> {output:.4f}, wanted {target}")
