"""The leaky ReLU divides negative inputs by 100; squaring makes a loss mind one large error most."""

import numpy as np

import fastnet as fn

unit = fn.Network([fn.Dense(1, "leaky_relu", bias=False, weights_init=[[1.0]])], inputs=1, dtype="float64")
for z in (-200.0, -1.0, 0.0, 0.5, 3.0):
    print(f"leaky_relu({z:6.1f}) = {unit.predict([z])[0]:6.2f}")

# Two networks' errors on four samples. To measure them, a net that hands its inputs on: errors from 0.
wire = fn.Network([fn.Dense(4, bias=False, weights_init=np.eye(4))], inputs=4, dtype="float64")
print("\nerrors              sum   1/2 sum of squares")
for errors in ([0.2, 0.2, 0.2, 0.2], [0.0, 0.0, 0.0, 0.6]):
    loss = wire.evaluate([errors], [[0.0] * 4], loss="half_squared_error", metrics=())["loss"]
    print(f"{errors!s:18}  {sum(errors):.1f}   {loss:.2f}")
print("The first sum is the larger one, and the first loss the smaller: four small errors are forgiven.")
