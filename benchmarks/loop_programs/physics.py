"""Simulations: particles, differential equations, lattices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.loop_programs.core import Program, f32, normal, uniform

DT = 0.01


def n_body(xp: Any, n: int, x: Any, v: Any, mass: Any) -> Any:
    """Steps of bodies that attract each other."""
    for _ in range(n):
        forces = []
        for i in range(x.shape[0]):
            force = 0.0
            for j in range(x.shape[0]):
                if i != j:
                    d = x[j] - x[i]
                    force = force + mass[j] * d / (xp.sum(d * d) + 0.1) ** 1.5
            forces.append(force)
        v = v + DT * xp.stack(forces)
        x = x + DT * v
    return xp.sum(x * x) + xp.sum(v * v)


def n_body_expert(n: int, x: Any, v: Any, mass: Any) -> Any:
    def step(state: Any, _: Any) -> Any:
        x, v = state
        d = x[None] - x[:, None]
        r3 = (jnp.sum(d * d, -1) + 0.1) ** 1.5
        v = v + DT * jnp.sum((mass[None] / r3)[..., None] * d, 1)
        return (x + DT * v, v), None

    (x, v), _ = jax.lax.scan(step, (x, v), None, length=n)
    return jnp.sum(x * x) + jnp.sum(v * v)


def rk4(f: Callable[[Any], Any], q: Any, dt: float) -> Any:
    """A step of Runge and Kutta's method of fourth order."""
    a = f(q)
    b = f(q + 0.5 * dt * a)
    c = f(q + 0.5 * dt * b)
    d = f(q + dt * c)
    return q + dt / 6.0 * (a + 2.0 * b + 2.0 * c + d)


def lorenz_slope(xp: Any, q: Any, rates: Any) -> Any:
    x, y, z = q[0], q[1], q[2]
    return xp.stack([rates[0] * (y - x), x * (rates[1] - z) - y, x * y - rates[2] * z])


def lorenz(xp: Any, n: int, q: Any, rates: Any) -> Any:
    for _ in range(n):
        q = rk4(lambda q: lorenz_slope(xp, q, rates), q, DT)
    return xp.sum(q * q)


def lorenz_expert(n: int, q: Any, rates: Any) -> Any:
    def step(q: Any, _: Any) -> Any:
        return rk4(lambda q: lorenz_slope(jnp, q, rates), q, DT), None

    return jnp.sum(jax.lax.scan(step, q, None, length=n)[0] ** 2)


def lotka_volterra(xp: Any, n: int, rates: Any, start: Any, seen: Any) -> Any:
    """A fit of predators and prey to what was seen of them, as scalars."""

    def slope(prey: Any, hunters: Any) -> Any:
        eaten = prey * hunters
        return rates[0] * prey - rates[1] * eaten, rates[2] * eaten - rates[3] * hunters

    prey, hunters = start[0], start[1]
    loss = 0.0
    for t in range(n):
        a, b = slope(prey, hunters)
        c, d = slope(prey + 0.05 * a, hunters + 0.05 * b)
        e, f = slope(prey + 0.05 * c, hunters + 0.05 * d)
        g, h = slope(prey + 0.1 * e, hunters + 0.1 * f)
        prey = prey + 0.1 / 6 * (a + 2 * c + 2 * e + g)
        hunters = hunters + 0.1 / 6 * (b + 2 * d + 2 * f + h)
        loss = loss + (prey - seen[t, 0]) ** 2 + (hunters - seen[t, 1]) ** 2
    return loss / n


def lotka_volterra_expert(n: int, rates: Any, start: Any, seen: Any) -> Any:
    def slope(q: Any) -> Any:
        eaten = q[0] * q[1]
        return jnp.stack([rates[0] * q[0] - rates[1] * eaten, rates[2] * eaten - rates[3] * q[1]])

    def step(q: Any, _: Any) -> Any:
        q = rk4(slope, q, 0.1)
        return q, q

    _, path = jax.lax.scan(step, start, None, length=n)
    return jnp.sum((path - seen) ** 2) / n


def cart_pole_step(xp: Any, x: Any, v: Any, angle: Any, spin: Any, force: Any) -> Any:
    sin, cos = xp.sin(angle), xp.cos(angle)
    push = (force + 0.05 * spin * spin * sin) / 1.1
    turn = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos * cos / 1.1))
    slide = push - 0.05 * turn * cos / 1.1
    return x + DT * v, v + DT * slide, angle + DT * spin, spin + DT * turn


def cart_pole(xp: Any, n: int, start: Any, forces: Any) -> Any:
    """The cost of a plan of forces."""
    x, v, angle, spin = start[0], start[1], start[2], start[3]
    cost = 0.0
    for t in range(n):
        x, v, angle, spin = cart_pole_step(xp, x, v, angle, spin, forces[t])
        cost = cost + angle**2 + 0.1 * x**2 + 0.001 * forces[t] ** 2
    return cost


def cart_pole_expert(n: int, start: Any, forces: Any) -> Any:
    def step(state: Any, force: Any) -> Any:
        x, v, angle, spin = state
        x, v, angle, spin = cart_pole_step(jnp, x, v, angle, spin, force)
        return (x, v, angle, spin), (angle, x)

    _, (angle, x) = jax.lax.scan(step, tuple(start), forces)
    return jnp.sum(angle**2 + 0.1 * x**2 + 0.001 * forces**2)


def ising(xp: Any, n: int, x: Any, coupling: Any, field: Any) -> Any:
    """The energy of soft spins on a torus, a site at a time."""
    rows, columns = x.shape
    energy = 0.0
    for i in range(rows):
        for j in range(columns):
            spin = xp.tanh(x[i, j])
            beside = xp.tanh(x[(i + 1) % rows, j]) + xp.tanh(x[i, (j + 1) % columns])
            energy = energy - coupling * spin * beside - field[i, j] * spin
    return energy


def ising_expert(n: int, x: Any, coupling: Any, field: Any) -> Any:
    spin = jnp.tanh(x)
    beside = jnp.roll(spin, -1, 0) + jnp.roll(spin, -1, 1)
    return -jnp.sum(coupling * spin * beside + field * spin)


def heat(xp: Any, n: int, u: Any, rate: Any) -> Any:
    """Explicit steps of the heat equation, a point at a time, with fixed ends."""
    for _ in range(n):
        inner = []
        for i in range(1, u.shape[0] - 1):
            inner.append(u[i] + rate[i] * (u[i - 1] - 2.0 * u[i] + u[i + 1]))
        u = xp.stack([u[0], *inner, u[-1]])
    return xp.sum(u * u)


def heat_expert(n: int, u: Any, rate: Any) -> Any:
    def step(u: Any, _: Any) -> Any:
        return u.at[1:-1].add(rate[1:-1] * (u[:-2] - 2.0 * u[1:-1] + u[2:])), None

    return jnp.sum(jax.lax.scan(step, u, None, length=n)[0] ** 2)


def wave(xp: Any, n: int, u: Any, speed: Any) -> Any:
    """Leapfrog steps of the wave equation on a torus, a whole array at a time: two steps back."""
    before = u
    for _ in range(n):
        around = xp.roll(u, 1, 0) + xp.roll(u, -1, 0) + xp.roll(u, 1, 1) + xp.roll(u, -1, 1)
        u, before = 2.0 * u - before + speed * (around - 4.0 * u), u
    return xp.sum(u * u)


def wave_expert(n: int, u: Any, speed: Any) -> Any:
    def step(state: Any, _: Any) -> Any:
        u, before = state
        around = jnp.roll(u, 1, 0) + jnp.roll(u, -1, 0) + jnp.roll(u, 1, 1) + jnp.roll(u, -1, 1)
        return (2.0 * u - before + speed * (around - 4.0 * u), u), None

    return jnp.sum(jax.lax.scan(step, (u, u), None, length=n)[0][0] ** 2)


PROGRAMS = (
    Program(
        "n-body", 4, n_body, n_body_expert,
        lambda n: (normal(0, 6, 3), 0.1 * normal(1, 6, 3), uniform(2, 6, low=0.5, high=2.0)),
    ),
    Program(
        "Lorenz, RK4", 20, lorenz, lorenz_expert, lambda n: (f32([1.0, 1.0, 1.05]), f32([10.0, 28.0, 8 / 3])),
    ),
    Program(
        "Lotka-Volterra, RK4", 25, lotka_volterra, lotka_volterra_expert,
        lambda n: (f32([0.6, 0.3, 0.2, 0.4]), f32([1.0, 1.5]), uniform(0, n, 2, low=0.5, high=2.0)),
    ),
    Program(
        "cart-pole", 50, cart_pole, cart_pole_expert, lambda n: (f32([0.0, 0.1, 0.05, 0.0]), normal(0, n)),
    ),
    Program(
        "Ising energy", 6, ising, ising_expert, lambda n: (normal(0, n, 16), f32(0.7), 0.1 * normal(1, n, 16)),
    ),
    Program(
        "heat equation", 6, heat, heat_expert, lambda n: (normal(0, 16), uniform(1, 16, low=0.1, high=0.4)),
    ),
    Program(
        "wave equation", 50, wave, wave_expert, lambda n: (normal(0, 24, 24), uniform(1, 24, 24, high=0.2)),
        tolerance=2e-4,  # of random waves, rounding errors grow with the square of the steps
    ),
)  # fmt: skip
