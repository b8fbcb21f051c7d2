"""PyTorch's GRU beside Pumphouse's: THREADS, then lines `batch steps inputs hidden times`.

Answers each line with the median seconds of a training step. The device is a GPU where
BENCH_CUDA is set and PyTorch sees one.
"""

import os
import re
import statistics
import sys
import time

import torch

threads = int(sys.argv[1])
torch.set_num_threads(threads)
cuda = os.environ.get("BENCH_CUDA") and torch.cuda.is_available()
device = torch.device("cuda" if cuda else "cpu")


def blas():
    """The BLAS library that is loaded: Debian's PyTorch takes whatever libblas.so.3 is."""
    with open("/proc/self/maps") as maps:
        names = re.findall(r"/\S*/(lib\S*(?:blas|mkl)\S*)", maps.read())
    return ", ".join(sorted(set(names))) or "its own BLAS"


def run(batch, steps, inputs, hidden, times):
    torch.manual_seed(0)
    gru = torch.nn.GRU(inputs, hidden, batch_first=True).to(device)
    head = torch.nn.Linear(hidden, 1).to(device)
    parameters = [*gru.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.0)
    x = torch.randn(batch, steps, inputs, device=device)
    y = torch.randn(batch, 1, device=device)
    seconds = []
    for _ in range(times + 2):
        started = time.perf_counter()
        optimizer.zero_grad()
        states, _ = gru(x)
        loss = ((head(states[:, -1]) - y) ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


print(f"PyTorch {torch.__version__} with {blas()} on {device}", flush=True)
for line in sys.stdin:
    print(run(*map(int, line.split())), flush=True)
