"""Train a small GPT on the reference manual that comes with Python, byte by byte, and let it write.

The network is plain functions over `tracer.numpy` and `tracer.nn`; optax holds the optimiser. Nothing is
downloaded: the text is what `help()` shows on Python's syntax. Shows a progress bar, compares the loss on
held-out topics with that of a trigram model, plots both, and prints text that the network wrote.

    python examples/language_model.py [--steps 1100] [--plot language_model_loss.png]
"""

from __future__ import annotations

import argparse
import os
import time
from pydoc_data.topics import topics

import jax
import matplotlib
import numpy as np
import optax
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import tracer as tr
import tracer.numpy as tnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt

QUICK = bool(os.environ.get("TRACER_EXAMPLE_QUICK"))
VOCABULARY = 256
CONTEXT = 64
BATCH = 24
WIDTH = 128
HEADS = 4
LAYERS = 3


def load():
    """(training text, validation text) as bytes; every tenth topic is held out."""
    names = sorted(topics)
    join = lambda chosen: np.frombuffer("\n".join([topics[n] for n in chosen]).encode(), np.uint8)
    return join([n for i, n in enumerate(names) if i % 10]), join(names[::10])


# The network -----------------------------------------------------------------------------------------


def initialize(rng):
    """Parameters of `network`, a dict of arrays."""
    weight = lambda *shape, scale=1.0: np.float32(rng.normal(size=shape) * scale / np.sqrt(shape[0]))
    ones, zeros = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    block = lambda: {
        "norm1": {"scale": ones, "bias": zeros},
        "attend": weight(WIDTH, 3 * WIDTH),
        "merge": weight(WIDTH, WIDTH, scale=1 / np.sqrt(2 * LAYERS)),
        "norm2": {"scale": ones, "bias": zeros},
        "widen": weight(WIDTH, 4 * WIDTH),
        "narrow": weight(4 * WIDTH, WIDTH, scale=1 / np.sqrt(2 * LAYERS)),
    }
    return {
        "bytes": np.float32(rng.normal(size=(VOCABULARY, WIDTH)) * 0.02),
        "places": np.float32(rng.normal(size=(CONTEXT, WIDTH)) * 0.02),
        "blocks": [block() for _ in range(LAYERS)],
        "norm": {"scale": ones, "bias": zeros},
    }


def attention(p, x):
    """Causal self-attention; x is (batch, time, width)."""
    q, k, v = tnp.split((x @ p["attend"]).reshape(*x.shape[:2], 3 * HEADS, -1), 3, axis=2)
    mixed = tr.nn.dot_product_attention(q, k, v, is_causal=True)
    return mixed.reshape(x.shape) @ p["merge"]


def network(p, text):
    """Logits (batch, time, 256) of the next byte, of bytes (batch, time)."""
    x = tr.nn.embedding(p["bytes"], text) + p["places"][: text.shape[1]]
    for block in p["blocks"]:
        x = x + attention(block, tr.nn.layer_norm(x, **block["norm1"]))
        x = x + tr.nn.gelu(tr.nn.layer_norm(x, **block["norm2"]) @ block["widen"]) @ block["narrow"]
    return tr.nn.layer_norm(x, **p["norm"]) @ p["bytes"].T


def loss(p, windows):
    """Mean cross-entropy in nats a byte, of windows (batch, CONTEXT + 1)."""
    logits = network(p, windows[:, :-1])
    return tnp.mean(tr.nn.softmax_cross_entropy(logits, windows[:, 1:].astype(np.int32)))


# What it is compared with ------------------------------------------------------------------------------


def trigram_loss(train, held_out):
    """Nats a byte of a trigram model, each order smoothed by the one below (Witten and Bell 1991)."""

    def conditional(counts, lower):
        """(n(c | context) + kinds of successors * lower(c)) / (n(context) + kinds)."""
        kinds = (counts > 0).sum(-1, keepdims=True)
        total = counts.sum(-1, keepdims=True) + kinds
        return np.where(total > 0, (counts + kinds * lower) / np.maximum(total, 1), lower)

    alphabet = np.unique(np.concatenate([train, held_out]))
    size = len(alphabet)
    a, b = np.searchsorted(alphabet, train), np.searchsorted(alphabet, held_out)
    counts = np.zeros((size, size, size), np.float32)
    np.add.at(counts, (a[:-2], a[1:-1], a[2:]), 1)
    p1 = conditional(counts.sum((0, 1)), np.full(size, 1 / VOCABULARY))
    p2 = conditional(counts.sum(0), p1)
    p3 = conditional(counts, p2)
    return float(-np.log(p3[b[:-2], b[1:-1], b[2:]]).mean())


# Training --------------------------------------------------------------------------------------------


def windows(text, starts):
    """The windows of CONTEXT + 1 bytes that begin at `starts`."""
    return text[starts[:, None] + np.arange(CONTEXT + 1)]


def write(p, predict, prompt, count):
    """`prompt` and `count` more bytes, drawn at temperature 0.7."""
    text = np.frombuffer(prompt.encode(), np.uint8)
    key = tr.random.key(0)
    for i in range(count):
        given = text[-CONTEXT:]
        padded = np.zeros((1, CONTEXT), np.uint8)
        padded[0, : len(given)] = given
        logits = predict(p, padded)[0, len(given) - 1]
        byte = tr.random.categorical(tr.random.fold_in(key, i), logits / 0.7)
        text = np.append(text, np.uint8(byte))
    return text.tobytes().decode(errors="replace")


def plot(losses, checks, trigram, path):
    """Training loss of every step, validation loss, and the trigram model's."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(losses, alpha=0.3, label="training, each step")
    axes.plot(*zip(*checks, strict=True), marker="o", markersize=3, label="held-out topics")
    axes.axhline(trigram, color="black", linestyle="--", label="trigram model, held-out topics")
    axes.set(xlabel="training step", ylabel="cross-entropy (nats a byte)", title="Python's reference manual")
    axes.legend()
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30 if QUICK else 1100)
    parser.add_argument("--plot", default="language_model_loss.png")
    options = parser.parse_args()
    console = Console()
    rng = np.random.default_rng(0)
    train, held_out = load()
    trigram = trigram_loss(train, held_out)
    params = initialize(rng)
    size = sum([x.size for x in tr.tree.leaves(params)])
    console.print(f"{len(train):,} bytes to learn from, {len(held_out):,} held out; {size:,} parameters")

    schedule = optax.warmup_cosine_decay_schedule(0, 3e-3, min(100, options.steps // 4), options.steps, 1e-4)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, b2=0.98, weight_decay=0.1))
    state = optimizer.init(params)
    gradient = tr.jit(tr.value_and_grad(loss))

    @jax.jit
    def update(params, state, batch):
        value, grads = gradient(params, batch)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    compiled_loss = tr.jit(loss)
    starts = np.linspace(0, len(held_out) - CONTEXT - 2, 24 if QUICK else 240).astype(int)
    validate = lambda params: float(
        np.mean([compiled_loss(params, windows(held_out, s)) for s in starts.reshape(-1, BATCH)])
    )
    losses, checks = [], [(0, validate(params))]
    begin = time.perf_counter()
    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.3f}"),
        TextColumn("held out {task.fields[held_out]:.3f}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=options.steps, loss=float("nan"), held_out=checks[0][1])
        for step in range(1, options.steps + 1):
            batch = windows(train, rng.integers(0, len(train) - CONTEXT - 1, BATCH))
            params, state, value = update(params, state, batch)
            losses.append(float(value))
            progress.update(task, advance=1, loss=losses[-1])
            if step % (10 if QUICK else 100) == 0 or step == options.steps:
                checks.append((step, validate(params)))
                progress.update(task, held_out=checks[-1][1])
    seconds = time.perf_counter() - begin
    plot(losses, checks, trigram, options.plot)
    predict = tr.jit(network)
    text = write(params, predict, "The statement ", 60 if QUICK else 400)
    console.print(Panel(text, title="written by the network"), markup=False)
    console.print(
        f"held-out loss [bold]{checks[-1][1]:.3f}[/bold] nats a byte after {options.steps} steps in "
        f"{seconds:.0f} s (from {checks[0][1]:.3f}); a trigram model has {trigram:.3f}; plot in {options.plot}"
    )
    if checks[-1][1] >= checks[0][1]:
        raise SystemExit("expected the held-out loss to fall")
    if not QUICK and checks[-1][1] >= trigram:
        raise SystemExit(f"expected a held-out loss below the trigram model's {trigram:.3f}")


if __name__ == "__main__":
    main()
