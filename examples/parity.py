"""Even or odd? A network learns it from binary numbers, and answers for numbers it was never shown.

Writes learning_rates.png: the same network with a learning rate too small, good and too large.
"""

import sys
from pathlib import Path

import fastnet as fn
from fastnet import plotting

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
train, test = fn.datasets.parity(bits=8).split(0.25, stratify=True)  # 256 numbers, a quarter held back


def learn(learning_rate, epochs=30):
    net = fn.mlp([8, 16, 8, 1], activation="tanh", output="sigmoid", seed=1)
    optimizer = fn.SGD(learning_rate)
    net.fit(*train, loss="binary_cross_entropy", optimizer=optimizer, epochs=epochs, batch_size=16, verbose=0)
    return net


net = learn(0.5)
accuracy = net.evaluate(*test, loss="binary_cross_entropy")["accuracy"]
print(f"{len(test)} numbers that were not shown: {accuracy:.0%} right")
for bits in test.x[:5]:
    number = int("".join(str(int(bit)) for bit in bits), 2)
    even = net.predict(bits)[0]
    print(f"  {number:3d} = {number:08b}: {'even' if even > 0.5 else 'odd'} ({even:.3f})")

rates = {"0.002 (too small)": 0.002, "0.5 (good)": 0.5, "20 (too large)": 20.0}
histories = {label: learn(rate).history for label, rate in rates.items()}
plotting.learning_rates(histories, folder / "learning_rates.png")
print(f"wrote {folder / 'learning_rates.png'}")
