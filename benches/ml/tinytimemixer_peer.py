"""TinyTimeMixer 512-96 in PyTorch beside Pumphouse's: THREADS, then lines `windows channels times`.

Answers each line with the median seconds of a training step. The device is a GPU where
BENCH_CUDA is set and PyTorch sees one.
"""

import os
import statistics
import sys
import time

import torch
from torch import nn

threads = int(sys.argv[1])
torch.set_num_threads(threads)
cuda = os.environ.get("BENCH_CUDA") and torch.cuda.is_available()
device = torch.device("cuda" if cuda else "cpu")

CONTEXT, HORIZON, PATCH = 512, 96, 64


class Mixer(nn.Module):
    def __init__(self, width, d_model):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)
        self.gate = nn.Linear(width, width)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        x = self.drop(self.fc2(self.drop(nn.functional.gelu(self.fc1(x)))))
        return x * torch.softmax(self.gate(x), -1)


class Layer(nn.Module):
    def __init__(self, patches, d_model):
        super().__init__()
        self.patches = Mixer(patches, d_model)
        self.numbers = Mixer(d_model, d_model)

    def forward(self, x):
        x = x + self.patches(self.patches.norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.numbers(self.numbers.norm(x))


class TinyTimeMixer(nn.Module):
    def __init__(self):
        super().__init__()
        count = CONTEXT // PATCH
        self.patcher = nn.Linear(PATCH, 192)
        self.levels = nn.ModuleList(
            nn.ModuleList(Layer(count * parts, 192 // parts) for _ in range(2))
            for parts in (4, 2, 1)
        )
        self.adapter = nn.Linear(192, 128)
        self.decoder = nn.ModuleList(Layer(count, 128) for _ in range(2))
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(count * 128, HORIZON)

    def forward(self, x):
        """x: rows x context, each row one channel of one window"""
        mean = x.mean(1, keepdim=True)
        deviation = torch.sqrt(x.var(1, unbiased=False, keepdim=True) + 1e-5)
        h = self.patcher(((x - mean) / deviation).reshape(len(x), -1, PATCH))
        whole = h.shape
        for parts, layers in zip((4, 2, 1), self.levels):
            h = h.reshape(whole[0], whole[1] * parts, whole[2] // parts)
            for layer in layers:
                h = layer(h)
            h = h.reshape(whole)
        h = self.adapter(h)
        for layer in self.decoder:
            h = layer(h)
        return self.head(self.drop(h.flatten(1))) * deviation + mean


def run(windows, channels, times):
    torch.manual_seed(0)
    network = TinyTimeMixer().to(device)
    assert sum(p.numel() for p in network.parameters()) == 805_280
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.0)
    x = torch.randn(windows * channels, CONTEXT, device=device)
    y = torch.randn(windows * channels, HORIZON, device=device)
    seconds = []
    for _ in range(times + 2):
        started = time.perf_counter()
        optimizer.zero_grad()
        loss = ((network(x) - y) ** 2).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


print(f"PyTorch {torch.__version__} on {device}", flush=True)
for line in sys.stdin:
    print(run(*map(int, line.split())), flush=True)
