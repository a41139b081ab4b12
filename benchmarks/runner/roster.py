"""The peers: their modules, environments, and how charts show them. May import: the standard library."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venvs" / "peers"
_ALL = frozenset({"cpu", "gpu", "tpu"})


@dataclass(frozen=True)
class Entry:
    """A peer.

    Attributes:
      module: has `peer()`.
      label: for people.
      colour, marker: in charts, legible on white and on black; the same in all of them.
      environment: the name of its virtual environment; the one that runs the runner where empty.
      family: names by which a case may decline the peer, besides its own.
      devices: what it runs on.
    """

    name: str
    module: str
    label: str
    colour: str = "#888888"
    marker: str = "o"
    environment: str = ""
    family: tuple[str, ...] = ()
    devices: frozenset[str] = _ALL

    def python(self, environments: Path) -> Path:
        """The interpreter of its environment."""
        if not self.environment:
            return Path(sys.executable)
        # Not resolved: an environment is known by the path of its interpreter, a link.
        return environments.absolute() / self.environment / "bin" / "python"


def _entry(name: str, label: str, colour: str, marker: str, environment: str = "", **more: object) -> Entry:
    module = f"benchmarks.peers.{name.replace('-', '_')}"
    return Entry(name, module, label, colour, marker, environment, **more)  # type: ignore[arg-type]


_CPU, _CPU_GPU = frozenset({"cpu"}), frozenset({"cpu", "gpu"})

# In the order of tables.
PEERS = {
    entry.name: entry
    for entry in (
        _entry("tracer", "tracer", "#0a84d6", "o"),
        _entry("jax", "JAX", "#e8830c", "s"),
        _entry("enzyme", "Enzyme-JAX", "#d164a8", "D", "enzyme"),
        _entry("torch", "PyTorch", "#e0442e", "^", "torch", devices=_CPU_GPU),
        _entry(
            "torch-compile", "torch.compile", "#a3392f", "v", "torch", family=("torch",), devices=_CPU_GPU
        ),
        _entry("tensorflow", "TensorFlow, XLA", "#c2a20a", "P", "tensorflow"),
        _entry("pytensor", "PyTensor", "#2a9d6e", "X", "pytensor", devices=_CPU),
        _entry("autograd", "autograd", "#8a6bd1", "<", "autograd", devices=_CPU),
        _entry("numpy", "NumPy", "#7d8790", ">", devices=_CPU),
    )
}


def entry(name: str) -> Entry:
    """By name; the dotted name of a module is a peer too, that runs where the runner does."""
    if name in PEERS:
        return PEERS[name]
    if "." not in name:
        raise ValueError(f"expected a peer among {list(PEERS)}, or a module, got {name!r}")
    return Entry(name, name, name.rpartition(".")[2])


def label(name: str) -> str:
    return entry(name).label


def order(names: set[str]) -> list[str]:
    """As in tables: those of the list first."""
    return [name for name in PEERS if name in names] + sorted(names - set(PEERS))


__all__ = ["ENVIRONMENTS", "Entry", "PEERS", "ROOT", "entry", "label", "order"]
