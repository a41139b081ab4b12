"""Series in time, and prices."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.loop_programs.core import Program, f32, normal


def kalman(xp: Any, n: int, mean: Any, cov: Any, move: Any, look: Any, noise: Any, seen: Any) -> Any:
    """The negative log-likelihood of a series under a linear model with a hidden state."""
    loss = 0.0
    for t in range(n):
        mean = move @ mean
        cov = move @ cov @ move.T + noise[0] * cov
        spread = look @ cov @ look + noise[1]
        gain = cov @ look / spread
        error = seen[t] - look @ mean
        mean = mean + gain * error
        cov = cov - gain[:, None] * (look @ cov)[None, :]
        loss = loss + 0.5 * (xp.log(spread) + error**2 / spread)
    return loss


def kalman_expert(n: int, mean: Any, cov: Any, move: Any, look: Any, noise: Any, seen: Any) -> Any:
    def step(state: Any, y: Any) -> Any:
        mean, cov = state
        mean = move @ mean
        cov = move @ cov @ move.T + noise[0] * cov
        spread = look @ cov @ look + noise[1]
        gain = cov @ look / spread
        error = y - look @ mean
        return (mean + gain * error, cov - jnp.outer(gain, look @ cov)), (spread, error)

    _, (spread, error) = jax.lax.scan(step, (mean, cov), seen)
    return 0.5 * jnp.sum(jnp.log(spread) + error**2 / spread)


def hmm(xp: Any, n: int, start: Any, moves: Any, signs: Any, seen: Any) -> Any:
    """The negative log-likelihood of signs that a hidden Markov chain gives, from unnormalised weights."""
    moves = xp.exp(moves)
    moves = moves / xp.sum(moves, axis=1, keepdims=True)
    signs = xp.exp(signs)
    signs = signs / xp.sum(signs, axis=1, keepdims=True)
    alpha = xp.exp(start) / xp.sum(xp.exp(start))
    loss = 0.0
    for t in range(n):
        alpha = (alpha @ moves) * signs[:, seen[t]]
        total = xp.sum(alpha)
        alpha = alpha / total
        loss = loss - xp.log(total)
    return loss


def hmm_expert(n: int, start: Any, moves: Any, signs: Any, seen: Any) -> Any:
    moves = jax.nn.softmax(moves, 1)
    likely = jax.nn.softmax(signs, 1).T[seen]

    def step(alpha: Any, each: Any) -> Any:
        alpha = (alpha @ moves) * each
        total = jnp.sum(alpha)
        return alpha / total, total

    return -jnp.sum(jnp.log(jax.lax.scan(step, jax.nn.softmax(start), likely)[1]))


def garch(xp: Any, n: int, rates: Any, returns: Any) -> Any:
    """The negative log-likelihood of returns whose variance follows the last return and variance."""
    variance = rates[0] / (1.0 - rates[1] - rates[2])
    loss = 0.0
    for t in range(n):
        loss = loss + 0.5 * (xp.log(variance) + returns[t] ** 2 / variance)
        variance = rates[0] + rates[1] * returns[t] ** 2 + rates[2] * variance
    return loss


def garch_expert(n: int, rates: Any, returns: Any) -> Any:
    def step(variance: Any, r: Any) -> Any:
        return rates[0] + rates[1] * r**2 + rates[2] * variance, variance

    _, variance = jax.lax.scan(step, rates[0] / (1.0 - rates[1] - rates[2]), returns)
    return 0.5 * jnp.sum(jnp.log(variance) + returns**2 / variance)


def soft_dtw(xp: Any, n: int, x: Any, y: Any) -> Any:
    """The soft distance of two series under warping (Cuturi and Blondel 2017), a cell at a time."""
    above: list[Any] = []
    for i in range(n):
        row: list[Any] = []
        for j in range(y.shape[0]):
            cost = (x[i] - y[j]) ** 2
            if i and j:
                cost = cost - xp.logaddexp(xp.logaddexp(-above[j], -above[j - 1]), -row[j - 1])
            elif i or j:
                cost = cost + (above[j] if i else row[j - 1])
            row.append(cost)
        above = row
    return above[-1]


def soft_dtw_expert(n: int, x: Any, y: Any) -> Any:
    def step(state: Any, costs: Any) -> Any:
        above, corner = state
        beside = jnp.logaddexp(-above, -jnp.concatenate([corner, above[:-1]]))

        def cell(left: Any, each: Any) -> Any:
            here = each[0] - jnp.logaddexp(each[1], -left)
            return here, here

        _, row = jax.lax.scan(cell, far[0], (costs, beside))
        return (row, far[:1]), None

    # Before the first row everything is far away, but for the corner.
    far = jnp.full_like(y, 1e8)
    (last, _), _ = jax.lax.scan(step, (far, 0.0 * y[:1]), (x[:, None] - y) ** 2)
    return last[-1]


def leaky_neurons(xp: Any, n: int, weights: Any, inputs: Any) -> Any:
    """Neurons that fire and fall back where they pass a threshold."""
    charge, energy = 0.0 * weights[0], 0.0
    for t in range(n):
        charge = 0.9 * charge + inputs[t] @ weights
        charge = xp.where(charge > 1.0, charge - 1.0, charge)
        energy = energy + xp.sum(charge**2)
    return energy


def leaky_neurons_expert(n: int, weights: Any, inputs: Any) -> Any:
    def step(charge: Any, each: Any) -> Any:
        charge = 0.9 * charge + each
        charge = jnp.where(charge > 1.0, charge - 1.0, charge)
        return charge, charge

    return jnp.sum(jax.lax.scan(step, jnp.zeros_like(weights[0]), inputs @ weights)[1] ** 2)


def binomial_tree(xp: Any, n: int, market: Any) -> Any:
    """A European call by a binomial tree, a node at a time (Cox, Ross and Rubinstein 1979)."""
    spot, strike, rate, volatility = market[0], market[1], market[2], market[3]
    up = xp.exp(volatility * math.sqrt(1 / n))
    down = 1.0 / up
    chance = (xp.exp(rate / n) - down) / (up - down)
    discount = xp.exp(-rate / n)
    values = []
    for k in range(n + 1):
        gain = spot * up**k * down ** (n - k) - strike
        values.append(xp.where(gain > 0.0, gain, 0.0))
    for step in range(n, 0, -1):
        values = [discount * (chance * values[k + 1] + (1.0 - chance) * values[k]) for k in range(step)]
    return values[0]


def binomial_tree_expert(n: int, market: Any) -> Any:
    spot, strike, rate, volatility = market
    up = jnp.exp(volatility * math.sqrt(1 / n))
    chance = (jnp.exp(rate / n) - 1.0 / up) / (up - 1.0 / up)
    gain = spot * jnp.exp(volatility * math.sqrt(1 / n) * np.arange(-n, n + 1, 2, dtype=np.float32)) - strike

    def step(values: Any, _: Any) -> Any:
        # What comes round from the other end reaches the first value too late.
        return jnp.exp(-rate / n) * (chance * jnp.roll(values, -1) + (1.0 - chance) * values), None

    return jax.lax.scan(step, jnp.where(gain > 0.0, gain, 0.0), None, length=n)[0][0]


def american_put(xp: Any, n: int, market: Any) -> Any:
    """A put that may be exercised early, by a tree of arrays that shrink."""
    spot, strike, rate, volatility = market[0], market[1], market[2], market[3]
    up = xp.exp(volatility * math.sqrt(1 / n))
    chance = (xp.exp(rate / n) - 1.0 / up) / (up - 1.0 / up)
    discount = xp.exp(-rate / n)
    prices = spot * xp.exp(volatility * math.sqrt(1 / n) * xp.arange(-n, n + 1, 2))
    values = xp.where(strike > prices, strike - prices, 0.0)
    for _ in range(n):
        prices = prices[1:] / up
        values = discount * (chance * values[1:] + (1.0 - chance) * values[:-1])
        values = xp.maximum(values, strike - prices)
    return values[0]


def american_put_expert(n: int, market: Any) -> Any:
    spot, strike, rate, volatility = market
    up = jnp.exp(volatility * math.sqrt(1 / n))
    chance = (jnp.exp(rate / n) - 1.0 / up) / (up - 1.0 / up)
    prices = spot * jnp.exp(volatility * math.sqrt(1 / n) * np.arange(-n, n + 1, 2, dtype=np.float32))

    def step(state: Any, _: Any) -> Any:
        prices, values = state
        prices = jnp.roll(prices, -1) / up
        values = jnp.exp(-rate / n) * (chance * jnp.roll(values, -1) + (1.0 - chance) * values)
        return (prices, jnp.maximum(values, strike - prices)), None

    start = (prices, jnp.maximum(strike - prices, 0.0))
    return jax.lax.scan(step, start, None, length=n)[0][1][0]


def asian_option(xp: Any, n: int, market: Any, noise: Any) -> Any:
    """A call on the mean of a price along its paths, step by step."""
    spot, strike, rate, volatility = market[0], market[1], market[2], market[3]
    price, total = spot, 0.0
    for t in range(n):
        price = price * xp.exp((rate - 0.5 * volatility**2) / n + volatility * math.sqrt(1 / n) * noise[t])
        total = total + price
    gain = total / n - strike
    return xp.exp(-rate) * xp.mean(xp.where(gain > 0.0, gain, 0.0))


def asian_option_expert(n: int, market: Any, noise: Any) -> Any:
    spot, strike, rate, volatility = market
    growth = jnp.exp((rate - 0.5 * volatility**2) / n + volatility * math.sqrt(1 / n) * noise)

    def step(state: Any, each: Any) -> Any:
        price, total = state
        price = price * each
        return (price, total + price), None

    price = jnp.broadcast_to(spot, noise.shape[1:])
    (_, total), _ = jax.lax.scan(step, (price, jnp.zeros_like(price)), growth)
    return jnp.exp(-rate) * jnp.mean(jnp.maximum(total / n - strike, 0.0))


def renewal(xp: Any, n: int, rates: Any, first: Any) -> Any:
    """Births by the ages of all that were born before."""
    births = [first]
    for t in range(1, n):
        total = 0.0
        for age in range(t):
            total = total + rates[age] * births[t - 1 - age]
        births.append(xp.tanh(total))
    return xp.sum(xp.stack(births))


def renewal_expert(n: int, rates: Any, first: Any) -> Any:
    def step(past: Any, _: Any) -> Any:  # the latest birth first, none before the first
        born = jnp.tanh(jnp.sum(rates[: n - 1] * past))
        return jnp.concatenate([born[None], past[:-1]]), born

    past = jnp.zeros(n - 1, rates.dtype).at[0].set(first)
    return first + jnp.sum(jax.lax.scan(step, past, None, length=n - 1)[1])


def _signs(n: int) -> Any:
    return jnp.asarray(np.random.default_rng(3).integers(0, 5, n).astype(np.int32))


PROGRAMS = (
    Program(
        "Kalman filter", 40, kalman, kalman_expert,
        lambda n: (
            f32([0.0, 0.1]), f32([[1.0, 0.1], [0.1, 0.5]]), f32([[1.0, 0.1], [-0.1, 0.95]]), f32([1.0, 0.2]),
            f32([0.05, 0.3]), normal(0, n),
        ),
    ),
    Program(
        "HMM forward", 80, hmm, hmm_expert,
        lambda n: (normal(0, 8), normal(1, 8, 8), normal(2, 8, 5), _signs(n)),
    ),
    Program("GARCH", 80, garch, garch_expert, lambda n: (f32([0.1, 0.15, 0.7]), normal(0, n))),
    Program("soft-DTW", 8, soft_dtw, soft_dtw_expert, lambda n: (normal(0, n), normal(1, 10))),
    Program(
        "leaky neurons", 80, leaky_neurons, leaky_neurons_expert, lambda n: (normal(0, 8, 8), normal(1, n, 8)),
    ),
    Program("binomial tree", 30, binomial_tree, binomial_tree_expert, lambda n: (f32([100.0, 95.0, 0.03, 0.3]),)),
    Program("American put", 60, american_put, american_put_expert, lambda n: (f32([100.0, 105.0, 0.03, 0.3]),)),
    Program(
        "Asian option", 60, asian_option, asian_option_expert,
        lambda n: (f32([100.0, 95.0, 0.03, 0.3]), normal(0, n, 256)),
    ),
    Program("renewal", 25, renewal, renewal_expert, lambda n: (0.3 * normal(0, n), jnp.float32(0.7))),
)  # fmt: skip
