"""PyTorch's modules in and out: the same outputs, gradients and training steps, and refusals by name."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnet as fn

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
nn = torch.nn

EQUAL = 1e-5
DOCS = Path(__file__).parent.parent / "docs" / "interop.md"

MODULES: dict[str, Callable[[], Any]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "softmax": lambda: nn.Softmax(dim=1),
}

# Our loss, the output layer, PyTorch's loss and what it is called with. The document has the same table.
LOSSES: dict[str, tuple[Any, str, Any, bool]] = {
    "CrossEntropyLoss()": ("cross_entropy", "softmax", nn.CrossEntropyLoss(), True),
    "NLLLoss()": ("cross_entropy", "softmax", lambda p, t: nn.NLLLoss()(torch.log(p), t), False),
    "BCEWithLogitsLoss()": ("binary_cross_entropy", "sigmoid", nn.BCEWithLogitsLoss(), True),
    "BCELoss()": ("binary_cross_entropy", "sigmoid", nn.BCELoss(), False),
    "MSELoss()": ("mean_squared_error", "identity", nn.MSELoss(), False),
    "L1Loss()": ("mean_absolute_error", "tanh", nn.L1Loss(), False),
    "HuberLoss(delta=0.5)": (fn.losses.huber(0.5), "identity", nn.HuberLoss(delta=0.5), False),
    "SmoothL1Loss()": ("huber", "identity", nn.SmoothL1Loss(), False),
    "PoissonNLLLoss(log_input=False)": ("poisson", "softplus", nn.PoissonNLLLoss(log_input=False), False),
}


def tensors(module: Any, gradients: bool = False) -> np.ndarray:
    """A module's parameters, or their gradients, in our order: weights (I, O), then bias, layer by layer."""
    found = [one.grad if gradients else one.detach() for one in module.parameters()]
    return np.concatenate([one.numpy().T.ravel() for one in found] or [np.empty(0)])


def sequence(
    sizes: list[int],
    activations: list[str],
    dtype: Any = torch.float32,
    bias: bool = True,
    dropout: float = 0.0,
    seed: int = 0,
) -> Any:
    """Linear layers with activations, and dropout after the first but where it is the last."""
    torch.manual_seed(seed)
    modules: list[Any] = []
    for (inputs, outputs), name in zip(pairwise(sizes), activations, strict=True):
        modules += [nn.Dropout(dropout)] if dropout and 0 < len(modules) <= 2 else []
        modules.append(nn.Linear(inputs, outputs, bias=bias))
        modules += [MODULES[name]()] if name != "identity" else []
    return nn.Sequential(*modules).to(dtype)


def difference(net: fn.Network, module: Any, x: np.ndarray, y: np.ndarray, loss: str) -> float:
    """The largest difference of outputs, loss and gradients, relative to their largest value if above 1."""
    ours, _, theirs, on_logits = LOSSES[loss]
    module = module.eval()
    module.zero_grad()
    inputs = torch.tensor(x, dtype=next(module.parameters()).dtype)
    outputs = module(inputs)
    labels = y.ndim == 1
    targets = torch.tensor(y) if labels else torch.tensor(y, dtype=inputs.dtype)
    last = nn.Sequential(*list(module)[:-1]) if on_logits else module
    value = theirs(last(inputs), targets)
    value.backward()
    our_value, our_gradients = net.loss_and_gradients(x, y, loss=ours)
    pairs = [
        (net.predict(x), outputs.detach().numpy()),
        (our_value, value.item()),
        (our_gradients, tensors(module, gradients=True)),
    ]
    return max(float(np.max(np.abs(a - b)) / max(1.0, np.max(np.abs(b)))) for a, b in pairs)


def samples(loss: str, inputs: int, outputs: int, seed: int = 0, rows: int = 7) -> tuple[np.ndarray, Any]:
    """Inputs and targets that fit a loss."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1.5, (rows, inputs))
    if LOSSES[loss][0] == "cross_entropy":
        return x, rng.integers(0, outputs, rows)
    if "BCE" in loss:
        return x, rng.integers(0, 2, (rows, outputs)).astype(float)
    return x, np.abs(rng.normal(0, 2, (rows, outputs)))


# ---- the same numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_every_activation_gives_the_same_outputs_and_gradients(backend: str, dtype: str, name: str) -> None:
    module = sequence([5, 9, 4], [name, "identity"], getattr(torch, dtype))
    net = fn.from_torch(module)
    assert net.dtype == dtype and [layer.activation for layer in net.layers] == [name, "identity"]
    x, y = samples("MSELoss()", 5, 4)
    x[0] = [30.0, -30.0, 25.0, 0.1, -4.0]  # where functions are flat, and where Softplus is cut
    assert difference(net, module, x, y, "MSELoss()") <= EQUAL
    as_last = sequence([5, 3], [name], getattr(torch, dtype))
    assert difference(fn.from_torch(as_last), as_last, x, y[:, :3], "MSELoss()") <= EQUAL


def test_every_activation_that_pytorch_has_is_there() -> None:
    assert set(MODULES) == set(fn.activations.ACTIVATIONS) - {"identity", "step", "exp"}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_the_same(dtype: str, loss: str) -> None:
    module = sequence([4, 8, 3], ["tanh", LOSSES[loss][1]], getattr(torch, dtype))
    x, y = samples(loss, 4, 3)
    assert difference(fn.from_torch(module), module, x, y, loss) <= EQUAL


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=5),
    names=st.lists(st.sampled_from(["identity", *MODULES]), min_size=4, max_size=4),
    loss=st.sampled_from(sorted(LOSSES)),
    bias=st.booleans(),
    wide=st.booleans(),
    dropout=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 1000),
)
def test_random_networks_are_the_same_there_and_back(
    sizes: list[int], names: list[str], loss: str, bias: bool, wide: bool, dropout: float, seed: int
) -> None:
    sizes[-1] += 1  # one output has no cross-entropy
    names = [*names[: len(sizes) - 2], LOSSES[loss][1]]
    module = sequence(sizes, names, torch.float64 if wide else torch.float32, bias, dropout, seed)
    net = fn.from_torch(module)
    x, y = samples(loss, sizes[0], sizes[-1], seed)
    assert difference(net, module, x, y, loss) <= EQUAL
    again = fn.from_torch(net.to_torch())
    assert again.config() == net.config() and again.parameters.tobytes() == net.parameters.tobytes()
    assert difference(net, net.to_torch(), x, y, loss) <= EQUAL


def scaled(net: fn.Network, module: Any) -> None:
    net.parameters *= 1.01


def transposed(net: fn.Network, module: Any) -> None:
    net.layers[0].weights = net.layers[0].weights.T.copy()


def one_weight(net: fn.Network, module: Any) -> None:
    net.layers[0].weights[2, 1] += 0.001


def other_gelu(net: fn.Network, module: Any) -> None:
    module[1].approximate = "tanh"


def sum_for_mean(net: fn.Network, module: Any) -> None:
    whole = net.loss_and_gradients
    net.loss_and_gradients = lambda x, y, loss: (whole(x, y, loss)[0], whole(x, y, loss)[1] * len(x))


def sign(net: fn.Network, module: Any) -> None:
    whole = net.loss_and_gradients
    net.loss_and_gradients = lambda x, y, loss: (whole(x, y, loss)[0], -whole(x, y, loss)[1])


@pytest.mark.parametrize("plant", [scaled, transposed, one_weight, other_gelu, sum_for_mean, sign])
def test_a_planted_difference_is_found(plant: Callable[[fn.Network, Any], None]) -> None:
    module = sequence([4, 4, 3], ["gelu", "softmax"])
    net = fn.from_torch(module)
    x, y = samples("CrossEntropyLoss()", 4, 3)
    assert difference(net, module, x, y, "CrossEntropyLoss()") <= EQUAL
    plant(net, module)
    assert difference(net, module, x, y, "CrossEntropyLoss()") > EQUAL


def test_weights_of_classes_are_the_same() -> None:
    module = sequence([4, 3], ["softmax"], torch.float64)
    x, y = samples("CrossEntropyLoss()", 4, 3)
    weight = np.array([1.0, 5.0, 0.5])
    loss = nn.CrossEntropyLoss(weight=torch.tensor(weight))
    loss(module[:-1](torch.tensor(x)), torch.tensor(y)).backward()
    trainer = fn.Trainer(fn.from_torch(module), loss="cross_entropy", optimizer=fn.SGD(1.0))
    before = trainer.network.parameters.copy()
    trainer.fit(x, y, epochs=1, batch_size=99, class_weight=dict(enumerate(weight)), verbose=0)
    step = before - trainer.network.parameters
    np.testing.assert_allclose(step, tensors(module, gradients=True), rtol=0, atol=1e-12)


OPTIMIZERS: dict[str, tuple[Any, Any]] = {
    "SGD(lr)": (lambda p: torch.optim.SGD(p, 0.1), fn.SGD(0.1)),
    "SGD(lr, momentum=0.9, nesterov=True)": (
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
        fn.SGD(0.1, momentum=0.9, nesterov=True),
    ),
    "Adagrad(lr)": (lambda p: torch.optim.Adagrad(p, 0.1), fn.AdaGrad(0.1)),
    "RMSprop(lr)": (lambda p: torch.optim.RMSprop(p, 0.01), fn.RMSprop(0.01, rho=0.99)),
    "Adam(lr)": (lambda p: torch.optim.Adam(p, 0.01), fn.Adam(0.01)),
    "Adam(lr, betas=(0.8, 0.99))": (
        lambda p: torch.optim.Adam(p, 0.01, betas=(0.8, 0.99)),
        fn.Adam(0.01, beta1=0.8, beta2=0.99),
    ),
    "AdamW(lr)": (lambda p: torch.optim.AdamW(p, 0.01), fn.AdamW(0.01)),
    "Adam(lr, weight_decay=0.1)": (
        lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1),
        fn.Adam(0.01, weight_decay=0.1),
    ),
    "Rprop(lr)": (lambda p: torch.optim.Rprop(p, 0.01), fn.Rprop(0.01)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_are_the_same(name: str) -> None:
    """Without biases, as weight decay leaves ours alone."""
    make, ours = OPTIMIZERS[name]
    module = sequence([4, 6, 3], ["tanh", "softmax"], torch.float64, bias=False)
    trainer = fn.Trainer(fn.from_torch(module), loss="cross_entropy", optimizer=ours, seed=0)
    x, y = samples("CrossEntropyLoss()", 4, 3)
    optimizer = make(module.parameters())
    start = trainer.network.parameters.copy()
    for _ in range(6):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(module[:-1](torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
        trainer.step(x, y)
    found = trainer.network.parameters
    np.testing.assert_allclose(found, tensors(module), rtol=0, atol=1e-7)
    assert np.abs(found - start).max() > 0.005


@pytest.mark.parametrize("how", ["norm", "value"])
def test_clipping_is_the_same(how: str) -> None:
    module = sequence([4, 6, 3], ["tanh", "softmax"], torch.float64)
    optimizer = fn.SGD(1.0, **{f"clip_{how}": 0.02})
    trainer = fn.Trainer(fn.from_torch(module), loss="cross_entropy", optimizer=optimizer)
    x, y = samples("CrossEntropyLoss()", 4, 3)
    nn.CrossEntropyLoss()(module[:-1](torch.tensor(x)), torch.tensor(y)).backward()
    assert np.abs(tensors(module, gradients=True)).max() > 0.02
    getattr(nn.utils, f"clip_grad_{how}_")(module.parameters(), 0.02)
    torch.optim.SGD(module.parameters(), 1.0).step()
    trainer.step(x, y)
    np.testing.assert_allclose(trainer.network.parameters, tensors(module), rtol=0, atol=1e-7)


def test_weight_decay_leaves_biases_alone() -> None:
    """As the document says PyTorch is to be told."""
    module = sequence([4, 3], ["softmax"], torch.float64)
    trainer = fn.Trainer(fn.from_torch(module), loss="cross_entropy", optimizer=fn.SGD(0.1, weight_decay=0.5))
    groups = [
        {"params": [p for p in module.parameters() if p.ndim > 1], "weight_decay": 0.5},
        {"params": [p for p in module.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, 0.1)
    x, y = samples("CrossEntropyLoss()", 4, 3)
    nn.CrossEntropyLoss()(module[:-1](torch.tensor(x)), torch.tensor(y)).backward()
    optimizer.step()
    trainer.step(x, y)
    np.testing.assert_allclose(trainer.network.parameters, tensors(module), rtol=0, atol=1e-12)


@pytest.mark.skipif(not DOCS.is_file(), reason="the tests run without the documents")
def test_the_document_has_these_losses_and_optimizers() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for name in (*LOSSES, *(one.partition("(")[0] for one in OPTIMIZERS)):
        assert f"`{name.partition('(')[0]}" in text, name
    for ours in (
        *(row[0] for row in LOSSES.values()),
        *(type(row[1]).__name__ for row in OPTIMIZERS.values()),
    ):
        assert (ours if isinstance(ours, str) else "huber(0.5)") in text, ours


# ---- what is read -------------------------------------------------------------------------------------


def test_layers_in_layers(dtype: str) -> None:
    body = nn.Sequential(
        OrderedDict(
            flat=nn.Flatten(),
            first=nn.Linear(12, 6),
            same=nn.Identity(),
            act=nn.ReLU(inplace=True),
            drop=nn.Dropout(0.25),
            more=nn.Sequential(nn.Flatten(), nn.Linear(6, 5, bias=False), nn.Sequential()),
        )
    ).to(getattr(torch, dtype))
    net = fn.from_torch(nn.Sequential(body, nn.Softmax(dim=-1)), inputs=(3, 2, 2))
    assert repr(list(net.layers)) == (
        "[Flatten(), Dense(6, 'relu'), Dropout(0.25), Dense(5, 'softmax', bias=False)]"
    )
    assert net.input_shape == (3, 2, 2) and net.dtype == dtype
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(dtype)
    wanted = torch.softmax(body.eval()(torch.tensor(x)), 1).detach().numpy()
    np.testing.assert_allclose(net.predict(x), wanted, rtol=0, atol=1e-6)


def test_one_linear_is_enough() -> None:
    module = nn.Linear(3, 2)
    net = fn.from_torch(module)
    np.testing.assert_array_equal(net.layers[0].weights, module.weight.detach().numpy().T)
    np.testing.assert_array_equal(net.layers[0].bias, module.bias.detach().numpy())


def test_nothing_is_shared_and_nothing_is_changed() -> None:
    module = sequence([3, 3], ["relu"]).train()
    before = tensors(module).copy()
    net = fn.from_torch(module)
    net.parameters[...] = 7.0
    np.testing.assert_array_equal(tensors(module), before)
    again = net.to_torch()
    net.parameters[...] = 8.0
    assert (tensors(again) == 7.0).all() and module.training
    with torch.no_grad():
        again[0].weight[...] = 9.0
    assert (net.parameters == 8.0).all()


def test_frozen_and_pruned_shapes_are_values_like_others() -> None:
    module = nn.Linear(3, 2)
    module.requires_grad_(False)
    module.weight.data = module.weight.data.T.contiguous().T  # of other strides
    np.testing.assert_array_equal(fn.from_torch(module).layers[0].weights, module.weight.numpy().T)


def test_a_batch_of_one_norm_folded_as_advised() -> None:
    torch.manual_seed(0)
    linear, norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
    norm(linear(torch.randn(50, 4)))
    linear, norm = linear.eval(), norm.eval()
    net = fn.from_torch(torch.nn.utils.fusion.fuse_linear_bn_eval(linear, norm))
    x = torch.randn(5, 4)
    np.testing.assert_allclose(net.predict(x.numpy()), norm(linear(x)).detach().numpy(), rtol=0, atol=1e-6)


def test_the_network_can_be_trained_saved_and_loaded(tmp_path: Path) -> None:
    module = sequence([2, 16, 2], ["relu", "softmax"], dropout=0.1)
    net = fn.from_torch(module)
    x, y = fn.datasets.moons(200, seed=0)
    history = net.fit(x, y.ravel(), optimizer=fn.Adam(0.02), epochs=40, verbose=0, seed=0)
    assert history["accuracy"][-1] > 0.9
    net.save(tmp_path / "net.safetensors")
    again = fn.load(tmp_path / "net.safetensors").to_torch()
    outputs = again(torch.tensor(x, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(outputs, net.predict(x), rtol=0, atol=EQUAL)


# ---- what is written ----------------------------------------------------------------------------------


def test_what_is_written() -> None:
    layers = [fn.Dropout(0.1), fn.Flatten(), fn.Dense(4, "gelu", bias=False), fn.Flatten(), fn.Dropout(0.5)]
    net = fn.Network([*layers, fn.Dense(2, "softmax")], inputs=(2, 3), dtype="float64", seed=0)
    module = net.to_torch()
    kinds = [type(one).__name__ for one in module]
    assert kinds == ["Dropout", "Flatten", "Linear", "GELU", "Dropout", "Linear", "Softmax"]
    assert not any(one.training for one in module.modules())
    assert module[0].p == 0.1 and module[4].p == 0.5 and module[2].bias is None
    assert all(p.dtype == torch.float64 and p.requires_grad for p in module.parameters())
    x = np.random.default_rng(0).normal(size=(3, 2, 3))
    outputs = module(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(outputs, net.predict(x), rtol=0, atol=1e-12)
    dropped = module.train()(torch.tensor(x)).detach().numpy()
    assert np.abs(dropped - outputs).max() > 1e-3


def test_writing_draws_no_random_numbers() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    fn.mlp([3, 4, 2], seed=0).to_torch()
    assert torch.rand(1) == wanted


@pytest.mark.parametrize("name", ["step", "exp"])
def test_what_pytorch_has_no_module_for_is_refused(name: str) -> None:
    net = fn.Network([fn.Dense(2, "relu"), fn.Dense(1, name)], inputs=2, seed=0)
    with pytest.raises(ValueError, match=rf"^layers\[1\] \(Dense\(1, '{name}'\)\): PyTorch has no '{name}'$"):
        net.to_torch()


# ---- what is refused ----------------------------------------------------------------------------------


class MyLinear(nn.Linear):
    def forward(self, x: Any) -> Any:
        return -super().forward(x)


class MyNet(nn.Module):
    pass


def after(*modules: Any) -> Any:
    return nn.Sequential(nn.Linear(3, 3), *modules)


def hooked(name: str) -> Any:
    module = nn.Linear(3, 3)
    getattr(module, name)(lambda *given: None)
    return after(module)


def with_forward() -> Any:
    module = after(nn.ReLU())
    module[1].forward = lambda x: -x
    return module


def with_nan() -> Any:
    module = after()
    with torch.no_grad():
        module[0].weight[1, 2] = float("nan")
    return module


def with_weight(values: Any) -> Any:
    module = after()
    module[0].weight = nn.Parameter(values)
    return module


def with_infinite_bias() -> Any:
    module = after()
    with torch.no_grad():
        module[0].bias[1] = float("inf")
    return module


def tied() -> Any:
    linear = nn.Linear(3, 3)
    return nn.Sequential(linear, nn.ReLU(), linear)


def tied_weight() -> Any:
    module = after(nn.Linear(3, 3))
    module[1].weight = module[0].weight
    return module


def pruned() -> Any:
    from torch.nn.utils import prune

    return after(prune.l1_unstructured(nn.Linear(3, 3), "weight", 2))


def normed() -> Any:
    return after(torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "a convolution": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()),
        r"module\[0\] \(Conv2d\) cannot be expressed: it is a torch\.nn.*Conv2d; wanted one of",
    ),
    "in a sequence in a sequence": (
        lambda: after(nn.ReLU(), nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.PReLU()))),
        r"module\[2\]\[1\]\[0\] \(PReLU\) cannot",
    ),
    "batch norm": (lambda: after(nn.BatchNorm1d(3)), r"module\[1\] \(BatchNorm1d\).*fuse_linear_bn_eval"),
    "log-softmax": (
        lambda: after(nn.LogSoftmax(dim=1)),
        r"module\[1\] \(LogSoftmax\) cannot be expressed: write nn\.Softmax\(dim=1\).*loss='cross_entropy'",
    ),
    "a subclass": (
        lambda: after(MyLinear(3, 3)),
        r"module\[1\] \(MyLinear\) cannot.*test_interop_torch\.MyL",
    ),
    "a lazy layer": (
        lambda: after(nn.LazyLinear(3)),
        r"module\[1\] \(LazyLinear\) cannot.*call the module once",
    ),
    "parametrized": (normed, r"module\[1\] \(ParametrizedLinear\).*remove_parametrizations"),
    "pruned": (pruned, r"module\[1\] \(Linear\) has _forward_pre_hooks, which may do anything"),
    "a hook": (lambda: hooked("register_forward_hook"), r"module\[1\] \(Linear\) has _forward_hooks"),
    "a hook before": (lambda: hooked("register_forward_pre_hook"), r"has _forward_pre_hooks"),
    "a hook back": (lambda: hooked("register_full_backward_hook"), r"has _backward_hooks"),
    "a forward of its own": (with_forward, r"module\[1\] \(ReLU\) has a forward of its own"),
    "leaky": (
        lambda: after(nn.LeakyReLU(0.2)),
        r"module\[1\] \(LeakyReLU\) has negative_slope=0\.2; 'leaky_relu' is the same with .*=0\.01 only",
    ),
    "elu": (lambda: after(nn.ELU(0.5)), r"alpha=0\.5"),
    "gelu": (lambda: after(nn.GELU("tanh")), r"approximate='tanh'"),
    "softplus": (lambda: after(nn.Softplus(beta=2)), r"beta=2"),
    "softplus cut early": (lambda: after(nn.Softplus(threshold=5)), r"threshold=5"),
    "softmax over rows": (lambda: after(nn.Softmax(dim=0)), r"dim=0"),
    "softmax over what": (lambda: after(nn.Softmax()), r"dim=None"),
    "flatten the batch": (lambda: after(nn.Flatten(0)), r"module\[1\] \(Flatten\) has start_dim=0"),
    "flatten in part": (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(3, 3)), r"start_dim=2, end_dim=-1"),
    "drop everything": (lambda: after(nn.Dropout(1.0)), r"module\[1\] \(Dropout\) has p=1;"),
    "an activation first": (
        lambda: nn.Sequential(nn.ReLU(), nn.Linear(3, 3)),
        r"module\[0\] \(ReLU\) comes after the input; here an activation comes right after a Linear",
    ),
    "two activations": (
        lambda: after(nn.ReLU(), nn.Tanh()),
        r"module\[2\] \(Tanh\) comes after module\[1\] \(ReLU\)",
    ),
    "dropout between": (
        lambda: after(nn.Dropout(0.5), nn.ReLU()),
        r"module\[2\] \(ReLU\) comes after module\[1\] \(Dr",
    ),
    "half": (lambda: after().half(), r"module\[0\] \(Linear\): weight is torch\.float16.*module\.float\(\)"),
    "bfloat": (lambda: after().bfloat16(), r"torch\.bfloat16"),
    "mixed": (lambda: after(nn.Linear(3, 3).double()), r"float32 and float64 parameters"),
    "without values": (lambda: after().to("meta"), r"module\[0\] \(Linear\): weight is on meta"),
    "NaN": (with_nan, r"module\[0\] \(Linear\): weight\[1, 2\] is nan; wanted finite"),
    "infinite": (with_infinite_bias, r"module\[0\] \(Linear\): bias\[1\] is inf"),
    "tied layers": (tied, r"module\[2\] \(Linear\) has its weight in common with module\[0\] \(Linear\)"),
    "tied weights": (tied_weight, r"module\[1\] \(Linear\) has its weight in common with module\[0\]"),
    "widths": (
        lambda: after(nn.ReLU(), nn.Linear(4, 2)),
        r"module\[2\] \(Linear\) takes 4 values; the Linear before it gives 3",
    ),
    "nothing": (lambda: nn.Sequential(nn.Identity()), "module has no layers; wanted at least one"),
    "a weight for one unit": (
        lambda: with_weight(torch.zeros(3)),
        r"module\[0\] \(Linear\): weight has shape \(3,\); wanted \(outputs, inputs\)",
    ),
    "weights in a batch": (lambda: with_weight(torch.zeros(1, 3, 3)), r"weight has shape \(1, 3, 3\)"),
}


@pytest.mark.filterwarnings("ignore:.*lazy:UserWarning", "ignore:Implicit dimension:UserWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_expressed_is_refused_by_name(name: str) -> None:
    make, message = REFUSED[name]
    module = make()
    with pytest.raises(ValueError, match=message):
        fn.from_torch(module)


@pytest.mark.parametrize("module", [MyNet(), nn.ReLU(), MyLinear(2, 2), [nn.Linear(2, 2)], None])
def test_other_modules_are_refused(module: Any) -> None:
    way_out = r", .*from_onnx what torch\.onnx\.export makes of it$" if isinstance(module, nn.Module) else "$"
    with pytest.raises(
        TypeError, match=r"module is a \S+; wanted a torch\.nn\.Sequential or torch\.nn\.Linear" + way_out
    ):
        fn.from_torch(module)


def test_a_flatten_first_needs_the_inputs() -> None:
    module = nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(6, 2))
    with pytest.raises(
        ValueError, match=r"flattens what comes in, 6 values, so inputs is needed.*\(1, 28, 28\)"
    ):
        fn.from_torch(module)
    with pytest.raises(ValueError, match=r"inputs is \(2, 2\), 4 values; the first Linear takes 6"):
        fn.from_torch(module, inputs=(2, 2))
    with pytest.raises(ValueError, match="inputs is 0"):
        fn.from_torch(module, inputs=(6, 0))
    assert fn.from_torch(module, (2, 3)).input_shape == (2, 3)
    assert fn.from_torch(module, 6).input_shape == (6,)
    with pytest.raises(ValueError, match=r"put Flatten\(\) before it"):
        fn.from_torch(nn.Linear(6, 2), (2, 3))
    assert fn.from_torch(nn.Sequential(nn.Flatten()), (2, 3)).output_shape == (6,)


@pytest.mark.parametrize("call", [lambda: fn.from_torch(None), lambda: fn.mlp([2, 1]).to_torch()])
def test_without_torch_one_line_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ImportError, match=r"^\w+ PyTorch's modules needs PyTorch: pip install 'fastnet\[torch\]'$"
    ) as e:
        call()
    assert e.value.__cause__ is None and e.value.__suppress_context__
