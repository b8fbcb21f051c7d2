"""TinyTimeMixer's forward pass in NumPy and double precision, written from the paper and the
description of the published checkpoint, for the Rust network to be compared to.

    python3 ml/tests/reference/tinytimemixer.py > ml/tests/reference/tinytimemixer.json

Weights and inputs follow from a tensor's name and a value's place in it, so that neither need
be stored: see `numbers`.
"""
import json
import math

import numpy as np

CASES = [
    dict(name="512-96", context=512, horizon=96, channels=2),
    dict(name="small", context=24, horizon=5, channels=3, patch=4, d_model=16, expansion=3,
         levels=2, layers=1, decoder_d_model=16, decoder_layers=1),
    dict(name="mixed", context=32, horizon=6, channels=3, windows=2, patch=8, d_model=12,
         levels=2, layers=2, decoder_d_model=10, decoder_layers=2, mix_channel=True,
         decoder_mix_channel=True),
    dict(name="decoder mixed, one target", context=16, horizon=4, channels=2, windows=2, patch=4,
         d_model=8, levels=3, layers=1, decoder_d_model=6, decoder_layers=1,
         decoder_mix_channel=True, targets=[1]),
]
PUBLISHED = dict(patch=64, d_model=192, expansion=2, levels=3, layers=2, decoder_d_model=128,
                 decoder_layers=2, mix_channel=False, decoder_mix_channel=False, windows=1)


def numbers(name, shape):
    """Numbers in [-1, 1): the FNV-1a hash of the name, then a multiplicative hash of the place."""
    seed = 0x811C9DC5
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    place = np.arange(math.prod(shape), dtype=np.uint64)
    mixed = (place * 2654435761 + seed) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    return ((mixed >> 8).astype(np.float64) / 2**23 - 1).reshape(shape)


def linear(name, x, outputs):
    inputs = x.shape[-1]
    weight = numbers(name + ".weight", (outputs, inputs)) * 2 / math.sqrt(inputs)
    return x @ weight.T + numbers(name + ".bias", (outputs,)) / 2


def layer_norm(name, x):
    width = x.shape[-1]
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    weight = 1 + numbers(name + ".norm.norm.weight", (width,)) / 4
    return scaled * weight + numbers(name + ".norm.norm.bias", (width,)) / 4


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gated(name, x):
    scores = linear(name + ".gating_block.attn_layer", x, x.shape[-1])
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return x * weights / weights.sum(-1, keepdims=True)


def mlp(name, x, expansion):
    width = x.shape[-1]
    hidden = gelu(linear(name + ".mlp.fc1", x, width * expansion))
    return linear(name + ".mlp.fc2", hidden, width)


def layer(name, x, expansion, mix):
    """x: windows, channels, patches, d_model"""
    if mix:
        own = name + ".channel_feature_mixer"
        last = layer_norm(own, x).transpose(0, 3, 2, 1)
        x = x + mlp(own, gated(own, last), expansion).transpose(0, 3, 2, 1)
    own = name + ".patch_mixer"
    last = layer_norm(own, x).swapaxes(2, 3)
    x = x + gated(own, mlp(own, last, expansion)).swapaxes(2, 3)
    own = name + ".feature_mixer"
    return x + gated(own, mlp(own, layer_norm(own, x), expansion))


def forward(case, x):
    """x: windows, context, channels; the forecast: windows, horizon, targets"""
    c = {**PUBLISHED, **case}
    mean = x.mean(1, keepdims=True)
    deviation = np.sqrt(((x - mean) ** 2).mean(1, keepdims=True) + 1e-5)
    scaled = ((x - mean) / deviation).transpose(0, 2, 1)
    patches = scaled.reshape(*scaled.shape[:2], -1, c["patch"])
    h = linear("backbone.encoder.patcher", patches, c["d_model"])
    windows, channels, count, d_model = h.shape
    for level in range(c["levels"]):
        parts = 2 ** (c["levels"] - 1 - level)
        h = h.reshape(windows, channels, count * parts, d_model // parts)
        for i in range(c["layers"]):
            name = f"backbone.encoder.mlp_mixer_encoder.mixers.{level}.mixer_layers.{i}"
            h = layer(name, h, c["expansion"], c["mix_channel"])
        h = h.reshape(windows, channels, count, d_model)
    if c["decoder_d_model"] != d_model:
        h = linear("decoder.adapter", h, c["decoder_d_model"])
    for i in range(c["decoder_layers"]):
        h = layer(f"decoder.decoder_block.mixers.{i}", h, c["expansion"], c["decoder_mix_channel"])
    flat = h.reshape(windows, channels, -1)
    forecast = linear("head.base_forecast_block", flat, c["horizon"]).transpose(0, 2, 1)
    forecast = forecast * deviation + mean
    return forecast[..., c.get("targets", list(range(channels)))]


def main():
    cases = []
    for case in CASES:
        shape = (case.get("windows", 1), case["context"], case["channels"])
        channel = np.arange(case["channels"]) + 1
        place = np.arange(case["context"])[None, :, None]
        # Channels of different size around different means, with a wave in them.
        x = numbers("inputs", shape) * channel + np.sin(place / 3) + 10 * channel
        forecast = forward(case, x)
        cases.append({**case, "inputs": [round(v, 6) for v in x[:, -4:].flatten()],
                      "outputs": [round(v, 6) for v in forecast.flatten()]})
    lines = ",\n".join(json.dumps(case) for case in cases)
    print(f"[\n{lines}\n]")


main()
