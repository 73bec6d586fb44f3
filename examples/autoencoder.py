"""An autoencoder squeezes digits of 64 pixels through 8 numbers, and notices what is no digit.

Writes autoencoder.png: digits, their reconstructions, things that are no digits, and what it makes of them.
"""

import sys
from pathlib import Path

import numpy as np

import fastnet as fn
from fastnet import plotting

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
train, test = fn.datasets.digits()
layers = [fn.Dense(64, "relu"), fn.Dense(8, "tanh"), fn.Dense(64, "relu"), fn.Dense(64, "sigmoid")]
net = fn.Network(layers, inputs=64, seed=0)
optimizer = fn.Adam(fn.schedules.OneCycle(0.01, epochs=100))
net.fit(train.x, train.x, loss="mean_squared_error", optimizer=optimizer, epochs=100, batch_size=32)


def strangeness(images):
    """Mean squared error of the reconstruction of each image: large where the net never saw its like."""
    return np.square(net.predict(images) - images).mean(axis=1)


mean_image = np.square(test.x - train.x.mean(axis=0)).mean()
print(f"mean squared error: {strangeness(test.x).mean():.4f}; of the mean image: {mean_image:.4f}")

rng = np.random.default_rng(0)
turned = test.x.reshape(-1, 8, 8).transpose(0, 2, 1).reshape(-1, 64)  # digits, mirrored on the diagonal
noise = rng.permuted(test.x, axis=1)  # the same pixels, in any order
limit = np.quantile(strangeness(train.x), 0.98)
for name, images in {"digits": test.x, "mirrored digits": turned, "noise": noise}.items():
    print(f"{name:16} {np.mean(strangeness(images) > limit):4.0%} are called strange")
shown = [int(np.argmax(test.y == digit)) for digit in range(10)]  # one of each
rows = [test.x[shown], net.predict(test.x[shown]), noise[shown], net.predict(noise[shown])]
titles = ["digits", "through 8 numbers", "their pixels in any order", "through 8 numbers"]
plotting.images(rows, (8, 8), folder / "autoencoder.png", titles)
print(f"wrote {folder / 'autoencoder.png'}")
