"""Train a convolutional network on scikit-learn's handwritten digits.

The network is a plain function. tracer traces it, differentiates it in the IR, optimises the whole
train step and runs it through XLA; optax holds the optimiser. Shows the IR of one layer's gradient,
a progress bar, the test accuracy, and writes a plot of the loss.

    python examples/digits.py [--epochs 20] [--plot digits_loss.png]
"""

from __future__ import annotations

import argparse
import os
import time

import jax
import matplotlib
import numpy as np
import optax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import tracer as tr
import tracer.numpy as tnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt

QUICK = bool(os.environ.get("TRACER_EXAMPLE_QUICK"))
BATCH = 64


def initialize(rng):
    """He-initialised parameters: two 3x3 convolutions and two dense layers."""
    layer = lambda *shape: np.float32(rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[:-1])))
    return {
        "conv1": {"w": layer(3, 3, 1, 16), "b": np.zeros(16, np.float32)},
        "conv2": {"w": layer(3, 3, 16, 32), "b": np.zeros(32, np.float32)},
        "dense": {"w": layer(4 * 4 * 32, 64), "b": np.zeros(64, np.float32)},
        "head": {"w": layer(64, 10), "b": np.zeros(10, np.float32)},
    }


def convolution(p, x, stride):
    """A 3x3 convolution with bias and ReLU; x is (batch, height, width, channels)."""
    y = tr.nn.conv(
        x, p["w"], strides=(stride, stride), padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return tr.nn.relu(y + p["b"])


def network(p, x):
    """Logits (batch, 10) of images (batch, 8, 8, 1)."""
    x = convolution(p["conv1"], x, 1)
    x = convolution(p["conv2"], x, 2)
    x = tr.nn.relu(x.reshape(x.shape[0], -1) @ p["dense"]["w"] + p["dense"]["b"])
    return x @ p["head"]["w"] + p["head"]["b"]


def loss(p, images, labels):
    """Mean cross-entropy."""
    return -tnp.mean(tnp.sum(tr.nn.one_hot(labels, 10) * tr.nn.log_softmax(network(p, images)), axis=-1))


def load():
    """Digits as (batch, 8, 8, 1) floats in [-1, 1]; a fixed split into training and test images."""
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8, 1) / 8 - 1).astype(np.float32)
    return train_test_split(images, labels.astype(np.int32), test_size=0.2, random_state=0, stratify=labels)


def shifted(rng, images):
    """Each image moved by at most one pixel in each direction: keeps the network from memorising."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1)
    rows, columns = rng.integers(0, 3, (2, len(images)))
    at = lambda start: start[:, None] + np.arange(8)
    return padded[np.arange(len(images))[:, None, None], at(rows)[:, :, None], at(columns)[:, None, :]]


def plot(losses, path):
    """The loss of every step, and a running mean."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(losses, alpha=0.3, label="each step")
    width = max(1, min(25, len(losses) // 4))
    smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
    axes.plot(np.arange(len(smooth)) + width - 1, smooth, label=f"mean of {width} steps")
    axes.set(xlabel="training step", ylabel="cross-entropy (nats)", yscale="log", title="Handwritten digits")
    axes.legend()
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=2 if QUICK else 30)
    parser.add_argument("--plot", default="digits_loss.png")
    options = parser.parse_args()
    console = Console()
    rng = np.random.default_rng(0)
    train_x, test_x, train_y, test_y = load()
    params = initialize(rng)

    layer = tr.grad(lambda p, x: tnp.sum(convolution(p, x, 2) ** 2))
    console.rule("IR of one layer's gradient")
    console.print(
        str(tr.jit(layer).ir(params["conv1"], train_x[:4])), highlight=False, markup=False, soft_wrap=True
    )

    steps = options.epochs * (len(train_x) // BATCH)
    optimizer = optax.adamw(optax.cosine_decay_schedule(3e-3, steps), weight_decay=1e-3)
    state = optimizer.init(params)
    gradient = tr.jit(tr.value_and_grad(loss))

    @jax.jit
    def update(params, state, images, labels):
        value, grads = gradient(params, images, labels)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    predict = tr.jit(lambda p, x: tnp.argmax(network(p, x), axis=-1))
    losses = []
    begin = time.perf_counter()
    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("test accuracy {task.fields[accuracy]:.2%}"), TimeRemainingColumn(),
    )  # fmt: skip
    accuracy = float(np.mean(np.asarray(predict(params, test_x)) == test_y))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=steps, loss=float("nan"), accuracy=accuracy)
        for _ in range(options.epochs):
            order = rng.permutation(len(train_x))
            for k in range(len(train_x) // BATCH):
                chosen = order[k * BATCH : (k + 1) * BATCH]
                params, state, value = update(params, state, shifted(rng, train_x[chosen]), train_y[chosen])
                losses.append(float(value))
                progress.update(task, advance=1, loss=losses[-1])
            accuracy = float(np.mean(np.asarray(predict(params, test_x)) == test_y))
            progress.update(task, accuracy=accuracy)
    plot(losses, options.plot)
    seconds = time.perf_counter() - begin
    console.print(
        f"test accuracy [bold]{accuracy:.2%}[/bold] after {steps} steps in {seconds:.1f} s; "
        f"loss plotted in {options.plot}"
    )
    if not QUICK and accuracy < 0.97:
        raise SystemExit(f"expected a test accuracy of at least 97 %, got {accuracy:.2%}")


if __name__ == "__main__":
    main()
