"""The perceptron: one unit by hand, the NAND gate given, and the NAND gate learned from random weights."""

import fastnet as fn

# A total input above 0 makes the unit answer 1: 8 * 0.5 - 5 * 1.0 + 2 * 1.5 - 1.5 = 0.5.
unit = fn.Perceptron(weights=[0.5, -1.0, 1.5], bias=-1.5)
print(f"inputs 8, 5, 2: total input {unit.total_input([8, 5, 2])}, output {unit.predict([8, 5, 2])}")

x, y = fn.datasets.nand()
nand = fn.Perceptron(weights=[-2, -2], bias=3)
print("\nNAND with weights -2, -2 and bias 3\n  a b  total  output")
for (a, b), total, output in zip(x.astype(int), nand.total_input(x), nand.predict(x), strict=True):
    print(f"  {a} {b}  {total:+5.1f}  {output}")

# Learned: nothing but the four rows and the rule, weights += (target - output) * inputs.
learner = fn.Perceptron(inputs=2, seed=0)
print(f"\nNAND learned, from {learner}")
mistakes = learner.fit(x, y)["mistakes"]
print(f"to {learner}\nmistakes in each epoch: {mistakes}; outputs {learner.predict(x)}, wanted {y}")

# A line in the plane cannot part XOR: the rule never comes to an end.
x, y = fn.datasets.xor()
mistakes = fn.Perceptron(inputs=2, seed=0).fit(x, y, epochs=100)["mistakes"]
print(f"\nXOR: {mistakes[-1]} of 4 rows are still wrong after {len(mistakes)} epochs")
