"""Swing a pole up by gradient descent through a simulation with contact, written in plain Python.

A cart runs on a track between two springy walls and carries a pole that hangs down. The simulator is a
Python function: it loops over the intervals of the control with `for`, takes as many substeps in each as the
state asks for with `while`, small ones at the walls, and finds the force of a wall with `if`. tracer converts
and differentiates it; optax moves the forces until the pole stands.

    python examples/cartpole.py [--steps 400] [--animation cartpole.gif] [--plot cartpole.png]
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

import tracer as tr
import tracer.numpy as tnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter

QUICK = bool(os.environ.get("TRACER_EXAMPLE_QUICK"))
CART, POLE, LENGTH, GRAVITY = 1.0, 0.3, 0.5, 9.81  # kg, kg, m to the middle of the pole, m/s^2
WALL, STIFFNESS, DAMPING = 0.6, 400.0, 4.0  # m, N/m, N s/m
INTERVAL, INTERVALS = 0.05, 50  # s: the force is constant in an interval
COARSE, FINE = 0.0125, 0.0025  # s: substeps on the free track and near a wall
LIMIT = 12.0  # N


def wall_force(x, v):
    """Force of the walls on the cart: springs with dampers, one-sided."""
    if x > WALL:
        return -STIFFNESS * (x - WALL) - DAMPING * v
    if x < -WALL:
        return -STIFFNESS * (x + WALL) - DAMPING * v
    return 0.0


def accelerations(x, v, angle, spin, force):
    """Of cart and pole; the angle is zero where the pole stands."""
    sin, cos = tnp.sin(angle), tnp.cos(angle)
    push = (force + wall_force(x, v) + POLE * LENGTH * spin**2 * sin) / (CART + POLE)
    turn = (GRAVITY * sin - cos * push) / (LENGTH * (4 / 3 - POLE * cos**2 / (CART + POLE)))
    return push - POLE * LENGTH * turn * cos / (CART + POLE), turn


def advance(state, force):
    """The state an interval later, and the number of substeps."""
    x, v, angle, spin = state
    left, substeps = INTERVAL, 0
    while left > 1e-6:
        h = min(left, FINE if abs(x) + COARSE * abs(v) > WALL else COARSE)
        dv, dspin = accelerations(x, v, angle, spin, force)
        v, spin = v + h * dv, spin + h * dspin
        x, angle = x + h * v, angle + h * spin
        left = left - h
        substeps += 1
    return (x, v, angle, spin), substeps


def simulate(controls):
    """States (INTERVALS, 4) after each interval, and how many substeps each took."""
    state = (0.0, 0.0, np.pi, 0.0)
    states, counts = [], []
    for control in controls:
        state, substeps = advance(state, LIMIT * tnp.tanh(control))
        states.append(tnp.stack(state))
        counts.append(substeps)
    return tnp.stack(states), tnp.stack(counts)


def cost(controls):
    """How far the pole is from standing still at the end, and how far it was before, a little."""
    states, counts = simulate(controls)
    x, v, angle, spin = states[-10:].T
    final = tnp.mean(4 * (1 - tnp.cos(angle)) + 0.1 * spin**2 + 0.5 * x**2 + 0.1 * v**2)
    path = tnp.mean(1 - tnp.cos(states[:, 2])) + 0.002 * tnp.mean(controls**2)
    return final + 0.3 * path, (states, counts)


def optimise(steps, console):
    """Descend from small random forces: (controls, states, substeps, costs)."""
    controls = 0.3 * np.random.default_rng(1).normal(size=INTERVALS).astype(np.float32)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(0.08, max(steps, 50)))
    )
    gradient = tr.jit(tr.value_and_grad(cost, has_aux=True), autograph=True)

    @jax.jit
    def update(controls, state):
        (value, aux), slope = gradient(controls)
        updates, state = optimizer.update(slope, state)
        return optax.apply_updates(controls, updates), state, value, aux

    state = optimizer.init(controls)
    best, costs = None, []
    columns = (
        TextColumn("descending"), BarColumn(), MofNCompleteColumn(), TextColumn("cost {task.fields[cost]:.3f}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("descending", total=steps, cost=float("nan"))
        for _ in range(steps):
            before = controls
            controls, state, value, (states, counts) = update(controls, state)
            costs.append(float(value))
            if best is None or costs[-1] <= min(costs):
                best = (np.asarray(before), np.asarray(states), np.asarray(counts))
            progress.update(task, advance=1, cost=costs[-1])
    return *best, costs


def plot(states, counts, costs, path):
    """The cost, the motion and the substeps."""
    times = INTERVAL * np.arange(1, INTERVALS + 1)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    left.plot(costs)
    left.set(xlabel="step of descent", ylabel="cost", yscale="log")
    middle.plot(times, states[:, 0], label="cart (m)")
    middle.plot(times, states[:, 2], label="pole (rad)")
    middle.axhspan(-WALL, WALL, alpha=0.1, label="between the walls")
    middle.set(xlabel="time (s)")
    middle.legend()
    right.step(times, counts, where="mid")
    right.set(xlabel="time (s)", ylabel="substeps in the interval")
    figure.savefig(path, dpi=120)


def animate(states, path):
    """Cart, pole and walls as a GIF in real time."""
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.2, 1.2), aspect="equal", yticks=[], xlabel="m")
    axes.axvspan(-1.3, -WALL - 0.1, color="0.8")
    axes.axvspan(WALL + 0.1, 1.3, color="0.8")
    (cart,) = axes.plot([], [], lw=12, solid_capstyle="butt")
    (pole,) = axes.plot([], [], lw=4, marker="o", ms=7)

    def draw(k):
        x, _, angle, _ = states[k]
        cart.set_data([x - 0.1, x + 0.1], [0, 0])
        pole.set_data([x, x + 2 * LENGTH * np.sin(angle)], [0, 2 * LENGTH * np.cos(angle)])
        return cart, pole

    FuncAnimation(figure, draw, len(states)).save(path, PillowWriter(fps=round(1 / INTERVAL)), dpi=70)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=5 if QUICK else 400)
    parser.add_argument("--animation", default="cartpole.gif")
    parser.add_argument("--plot", default="cartpole.png")
    options = parser.parse_args()
    console = Console()
    begin = time.perf_counter()
    _, states, counts, costs = optimise(options.steps, console)
    seconds = time.perf_counter() - begin
    plot(states, counts, costs, options.plot)
    animate(states, options.animation)
    height = float(np.cos(states[-10:, 2]).mean())
    console.print(
        f"cost {costs[0]:.2f} -> {min(costs):.3f} in {len(costs)} steps, {seconds:.1f} s; "
        f"mean height of the pole in the last {10 * INTERVAL:.1f} s: [bold]{height:.3f}[/bold] of 1; "
        f"{counts.min()} to {counts.max()} substeps an interval; see {options.plot} and {options.animation}"
    )
    if not QUICK and height < 0.9:
        raise SystemExit(f"expected the pole to stand, got a mean height of {height:.3f}")


if __name__ == "__main__":
    main()
