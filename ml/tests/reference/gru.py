"""Writes gru.json: states and gradients of torch.nn.GRU, for the test of our own layers.

    python3 ml/tests/reference/gru.py

Needs PyTorch; Debian's python3-torch 1.13 wrote the file in the repository. Parameters and
inputs come from a formula that the test repeats, so that only results are kept.
"""
import json
import os

import torch

# (batch, steps, inputs, hidden, layers)
CASES = [(1, 1, 1, 1, 1), (3, 5, 2, 4, 1), (5, 7, 3, 6, 3), (2, 3, 5, 17, 1)]


def values(count, first):
    """Numbers in [-1, 1): (i * 7919 + first * 104729) mod 10007, scaled."""
    numbers = [((i * 7919 + first * 104729) % 10007) / 5003.5 - 1.0 for i in range(count)]
    return torch.tensor(numbers, dtype=torch.float64).to(torch.float32)


def case(batch, steps, inputs, hidden, layers):
    gru = torch.nn.GRU(inputs, hidden, layers, batch_first=True)
    for number, (_, parameter) in enumerate(sorted(gru.named_parameters())):
        with torch.no_grad():
            parameter.copy_(values(parameter.numel(), number + 1).reshape(parameter.shape) * 0.7)
    x = (values(batch * steps * inputs, 50) * 1.5).reshape(batch, steps, inputs)
    x.requires_grad_(True)
    states, _ = gru(x)
    # A slope of its own for each state.
    slopes = values(states.numel(), 60).reshape(states.shape)
    (states * slopes).sum().backward()
    numbers = lambda tensor: [float(f"{v:.7g}") for v in tensor.detach().flatten().tolist()]
    gradients = {name: numbers(p.grad) for name, p in sorted(gru.named_parameters())}
    return {
        "batch": batch, "steps": steps, "inputs": inputs, "hidden": hidden, "layers": layers,
        "states": numbers(states), "input_gradient": numbers(x.grad), "gradients": gradients,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gru.json")
    with open(path, "w") as file:
        lines = ",\n".join(json.dumps(case(*sizes)) for sizes in CASES)
        file.write(f"[\n{lines}\n]\n")
