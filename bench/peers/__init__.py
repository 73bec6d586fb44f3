"""fastnet beside other libraries, on the same work: ``python -m bench.peers``.

Each contender, a peer on a number of threads, is a process of its own (`worker`). The parent (`contest`)
first has all of them compute the same numbers, then lets them measure in turns, one at a time. `limits`
measures what the machine could do at best; `table` and `chart` show it all.
"""

PEERS = {
    "fastnet": "fastnet",
    "numpy": "NumPy by hand",
    "torch": "PyTorch",
    "jax": "JAX",
    "sklearn": "scikit-learn",
    "onnxruntime": "ONNX Runtime",
}
"""Title of each peer; the module of peer ``torch`` is `bench.peers.torch_`.

Such a module has

* ``VERSION``, of the library;
* ``cannot(task)``: why the peer cannot do this task, or an empty string;
* ``start(threads)``: called once, before all else;
* ``training(task, x, y)``: a function that runs so many epochs, in order and without validation, and returns
  the seconds and the mean of the losses of each (`timing.Epochs`); not in a peer that cannot train;
* ``prediction(task)``: a function from rows x (N, I), or one row (I,), to outputs, arrays of NumPy both.
"""
