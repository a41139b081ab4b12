"""Models as people train them, one training step each: one file a model, in the style of NumPy and in PyTorch's."""

from benchmarks.suites.models import cnn, gnn, gpt, lstm, mlp, neural_ode, pinn, resnet, unet, vae

CASES = [
    case for model in (mlp, cnn, resnet, lstm, gpt, unet, gnn, neural_ode, pinn, vae) for case in model.CASES
]

__all__ = ["CASES"]
