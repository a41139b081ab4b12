"""Real programs of libraries that are written with JAX, as scalar functions and their arguments.

Each entry of `PROGRAMS` builds `(f, args)`; `f` knows nothing of tracer. The first argument is what is
differentiated by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Program = tuple[Callable[..., Any], tuple[Any, ...]]
PROGRAMS: dict[str, Callable[[], Program]] = {}
KEY = jax.random.key(0)


def program(build: Callable[[], Program]) -> Callable[[], Program]:
    PROGRAMS[build.__name__] = build
    return build


def normal(*shape: int) -> Any:
    return jax.random.normal(KEY, shape)


# Equinox -------------------------------------------------------------------------------------------------


@program
def equinox_mlp() -> Program:
    import equinox as eqx

    arrays, rest = eqx.partition(eqx.nn.MLP(4, 1, 32, 2, key=KEY), eqx.is_array)
    return lambda p, x: jnp.mean(jax.vmap(eqx.combine(p, rest))(x) ** 2), (arrays, normal(16, 4))


@program
def equinox_filter_jit() -> Program:
    import equinox as eqx

    @eqx.filter_jit
    def loss(model: Any, x: Any) -> Any:
        return jnp.mean(jax.vmap(model)(x) ** 2)

    arrays, rest = eqx.partition(
        eqx.nn.MLP(4, 1, 32, 2, activation=jax.nn.gelu, key=KEY), eqx.is_inexact_array
    )
    return lambda p, x: loss(eqx.combine(p, rest), x), (arrays, normal(16, 4))


@program
def equinox_transformer_block() -> Program:
    import equinox as eqx

    block = (
        eqx.nn.LayerNorm(32),
        eqx.nn.MultiheadAttention(4, 32, key=KEY),
        eqx.nn.LayerNorm(32),
        eqx.nn.MLP(32, 32, 64, 1, activation=jax.nn.gelu, key=KEY),
        eqx.nn.Dropout(0.1),
    )
    arrays, rest = eqx.partition(block, eqx.is_array)

    def f(p: Any, x: Any) -> Any:
        before, attention, after, mlp, dropout = eqx.combine(p, rest)
        first, second = jax.random.split(KEY)
        h = jax.vmap(before)(x)
        causal = jnp.tril(jnp.ones((len(x), len(x)), bool))
        x = x + dropout(attention(h, h, h, mask=causal), key=first)
        return jnp.sum((x + dropout(jax.vmap(mlp)(jax.vmap(after)(x)), key=second)) ** 2)

    return f, (arrays, normal(10, 32))


# Flax ----------------------------------------------------------------------------------------------------


@program
def flax_linen_cnn() -> Program:
    from flax import linen as nn

    class CNN(nn.Module):
        @nn.compact
        def __call__(self, x: Any, train: bool) -> Any:
            x = nn.Conv(8, (3, 3))(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
            x = nn.avg_pool(x, (2, 2), (2, 2))
            return nn.Dense(10)(x.reshape(x.shape[0], -1))

    model, x = CNN(), normal(4, 16, 16, 3)
    variables = model.init(KEY, x, True)

    def f(params: Any, x: Any) -> Any:
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        y, changed = model.apply(state, x, True, mutable=["batch_stats"])
        return jnp.mean(y**2) + sum(jnp.sum(leaf) for leaf in jax.tree.leaves(changed))

    return f, (variables["params"], x)


@program
def flax_linen_scanned_gru() -> Program:
    from flax import linen as nn

    model, x = nn.RNN(nn.GRUCell(16)), normal(4, 12, 8)
    return lambda p, x: jnp.mean(model.apply(p, x) ** 2), (model.init(KEY, x), x)


@program
def flax_nnx_dropout() -> Program:
    from flax import nnx

    class Model(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.first = nnx.Linear(4, 32, rngs=rngs)
            self.dropout = nnx.Dropout(0.5)
            self.second = nnx.Linear(32, 1, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.second(self.dropout(nnx.relu(self.first(x)), rngs=nnx.Rngs(KEY)))

    graph, params, rest = nnx.split(Model(nnx.Rngs(0)), nnx.Param, ...)
    return lambda p, x: jnp.mean(nnx.merge(graph, p, rest)(x) ** 2), (params, normal(8, 4))


# Haiku, Optax --------------------------------------------------------------------------------------------


@program
def haiku_mlp() -> Program:
    import haiku as hk

    model, x = hk.transform(lambda x: hk.nets.MLP([16, 1])(x)), normal(8, 4)
    return lambda p, x: jnp.mean(model.apply(p, None, x) ** 2), (model.init(KEY, x), x)


@program
def optax_losses() -> Program:
    import optax

    def f(x: Any, labels: Any) -> Any:
        unpadded = jnp.zeros((1, 3))
        return (
            optax.softmax_cross_entropy_with_integer_labels(x, labels).mean()
            + optax.huber_loss(x).mean()
            + optax.sigmoid_binary_cross_entropy(x, jnp.ones_like(x)).mean()
            + optax.cosine_similarity(x, x[::-1]).mean()
            + optax.ctc_loss(x[None], jnp.zeros((1, len(x))), labels[None, :3], unpadded).mean()
        )

    return f, (normal(8, 5), jnp.array([1, 2, 3, 1, 2, 3, 4, 1]))


@program
def optax_lbfgs_steps() -> Program:
    import optax

    rosenbrock = lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    solver = optax.lbfgs()

    def f(x: Any) -> Any:
        state = solver.init(x)
        value_and_grad = optax.value_and_grad_from_state(rosenbrock)
        for _ in range(2):
            value, grad = value_and_grad(x, state=state)
            updates, state = solver.update(grad, state, x, value=value, grad=grad, value_fn=rosenbrock)
            x = optax.apply_updates(x, updates)
        return rosenbrock(x)

    return f, (jnp.array([-1.0, 2.0, 0.5]),)


# Solvers -------------------------------------------------------------------------------------------------


@program
def diffrax_ode() -> Program:
    import diffrax

    def f(w: Any, y0: Any) -> Any:
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, y, w: jnp.tanh(w @ y)),
            diffrax.Tsit5(),
            t0=0.0,
            t1=1.0,
            dt0=0.1,
            y0=y0,
            args=w,
            stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-5),
        )
        return jnp.sum(solution.ys**2)

    return f, (normal(3, 3), jnp.ones(3))


@program
def optimistix_root() -> Program:
    import optimistix as optx

    def f(a: Any, y: Any) -> Any:
        solver = optx.Newton(rtol=1e-6, atol=1e-6)
        return jnp.sum(optx.root_find(lambda y, a: y**3 + a * y - 1.0, solver, y, args=a).value ** 2)

    return f, (jnp.array([1.0, 2.0]), jnp.array([0.5, 0.5]))


# Probability and physics ---------------------------------------------------------------------------------


@program
def numpyro_log_density() -> Program:
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer.util import log_density

    x = np.linspace(-1, 1, 20)

    def model(x: Any, y: Any) -> None:
        a = numpyro.sample("a", dist.Normal(0, 1))
        b = numpyro.sample("b", dist.Normal(0, 1))
        s = numpyro.sample("s", dist.HalfNormal(1.0))
        numpyro.sample("y", dist.Normal(a * x + b, s), obs=y)

    params = {"a": jnp.array(1.0), "b": jnp.array(0.0), "s": jnp.array(0.5)}
    return lambda p: log_density(model, (x, 2 * x + 0.3), {}, p)[0], (params,)


PENDULUM = """
<mujoco><worldbody><body>
  <joint type='hinge' axis='0 1 0'/><geom type='capsule' size='.05 .3'/>
  <body pos='0 0 .6'><joint type='hinge' axis='0 1 0'/><geom type='capsule' size='.05 .3'/></body>
</body></worldbody></mujoco>
"""


@program
def mujoco_mjx_step() -> Program:
    import mujoco
    from mujoco import mjx

    model = mjx.put_model(mujoco.MjModel.from_xml_string(PENDULUM))
    start = mjx.make_data(model)

    def f(q: Any, v: Any) -> Any:
        after = mjx.step(model, start.replace(qpos=q, qvel=v))
        return jnp.sum(after.qpos**2) + jnp.sum(after.qvel**2)

    return f, (jnp.array([0.3, 0.2]), jnp.array([0.1, -0.2]))
