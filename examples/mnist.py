"""784-128-64-10 with dropout 0.2 on MNIST: the tutorials' recipe, which learns slowly, and a tuned one.

    python mnist.py [FOLDER] [--epochs 10]

FOLDER has the four files of MNIST; without it, the one that FASTNET_DATA names, or they are downloaded.
"""

import argparse

import fastnet as fn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", nargs="?", help="where the files are")
parser.add_argument("--epochs", type=int, default=10, help="of each recipe (default: 10)")
options = parser.parse_args()
train, test = fn.datasets.mnist(options.folder)
print(f"backend {fn.backend()}, {fn.get_num_threads()} threads, {options.epochs} epochs")

schedule = fn.schedules.OneCycle(0.1, epochs=options.epochs)
recipes = {
    "tutorial: SGD 0.003": fn.SGD(0.003),
    "tuned: SGD to 0.1 and down again, momentum 0.9": fn.SGD(schedule, momentum=0.9),
}
for name, optimizer in recipes.items():
    net = fn.mlp([784, 128, 64, 10], activation="relu", output="softmax", dropout=0.2, seed=0)
    history = net.fit(*train, optimizer=optimizer, epochs=options.epochs, batch_size=64)
    accuracy = net.evaluate(*test)["accuracy"]
    print(f"{name}\n  test accuracy {accuracy:.4f}, {history.seconds / history.epochs:.3f} seconds per epoch")
