"""Three spiral arms, told apart by a small network; the picture shows where it draws the borders.

Writes spirals.png.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import fastnet as fn

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
train, test = fn.datasets.spirals(900, classes=3, noise=0.15).split(0.25, stratify=True)
net = fn.mlp([2, 32, 32, 3], activation="tanh", output="softmax", seed=0)
schedule = fn.schedules.Cosine(0.01, epochs=200)
net.fit(*train, optimizer=fn.Adam(schedule), epochs=200, batch_size=32)
print(f"test accuracy {net.evaluate(*test)['accuracy']:.3f}")

line = np.linspace(-1.2, 1.2, 300)
plane = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
colors = np.array([[0.12, 0.47, 0.71], [1.0, 0.5, 0.05], [0.17, 0.63, 0.17]])
picture = net.predict(plane).reshape(300, 300, 3) @ colors  # each point: a mixture by probability
figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
axes.imshow(picture, origin="lower", extent=(-1.2, 1.2, -1.2, 1.2), alpha=0.6)
axes.scatter(*test.x.T, c=colors[test.y], edgecolors="white", linewidths=0.5)
axes.set_axis_off()
figure.savefig(folder / "spirals.png", dpi=120)
print(f"wrote {folder / 'spirals.png'}")
