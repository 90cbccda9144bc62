"""Six steps of schedulefree's AdamW and of sparsify's signum (ScheduleFreeWrapper over its SignSGD) on five numbers.

    target/peers/bin/python crates/rarefy/tests/golden/schedule_free.py

Gradients are those of a fixed table, whatever the point. y is where the gradient is taken, x the average.
"""

import json
import warnings
from pathlib import Path

import torch
from schedulefree import AdamWScheduleFree, ScheduleFreeWrapper
from sparsify.sign_sgd import SignSGD

START = [0.5, -1.0, 2.0, 0.0, -0.25]
GRADIENTS = [
    [0.3, -0.2, 0.0, 1.5, -0.7],
    [0.1, 0.4, 0.0, -1.0, -0.6],
    [-0.2, 0.3, 0.5, 0.8, -0.5],
    [0.05, -0.1, 0.2, 0.0, -0.4],
    [-0.3, -0.6, -0.9, 0.2, -0.3],
    [0.2, 0.0, 0.1, -0.4, -0.2],
]


def run(make):
    p = torch.nn.Parameter(torch.tensor(START))
    optimiser = make([p])
    optimiser.train()
    ys, xs = [], []
    for gradient in GRADIENTS:
        p.grad = torch.tensor(gradient)
        optimiser.step()
        ys.append(p.detach().tolist())
        optimiser.eval()
        xs.append(p.detach().tolist())
        optimiser.train()
    return {"y": ys, "x": xs}


def main():
    warnings.simplefilter("ignore")
    adam = run(lambda ps: AdamWScheduleFree(ps, lr=0.01, betas=(0.9, 0.999), foreach=False))
    signum = run(lambda ps: ScheduleFreeWrapper(SignSGD(ps, lr=0.01), momentum=0.95))
    told = {"start": START, "gradients": GRADIENTS, "adam": adam, "signum": signum}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
