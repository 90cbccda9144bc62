"""Summary statistics of SynthSAEBench-16k as SAELens 6.54.12 draws it: rates, values by level, and how features fire together.

    python synth_sae_bench.py > synth_sae_bench.json

Three seeds of the configuration of arXiv:2602.14687, without the turning of directions, on which no statistic here depends.
"""

import json

import torch
from sae_lens.synthetic import (
    FoldedNormalMagnitudeConfig,
    HierarchyConfig,
    LinearMagnitudeConfig,
    LowRankCorrelationConfig,
    SyntheticModel,
    SyntheticModelConfig,
    ZipfianFiringProbabilityConfig,
)

ROWS, BATCH = 16_384, 1024
LEVELS = [0, 128, 640, 2688, 10_880, 16_384]
NAMES = ["tops", "level 1", "level 2", "level 3", "single"]


def statistics(seed: int) -> dict[str, float]:
    config = SyntheticModelConfig(
        num_features=16_384,
        hidden_dim=8,
        firing_probability=ZipfianFiringProbabilityConfig(max_prob=0.4, min_prob=5e-4, exponent=0.5),
        hierarchy=HierarchyConfig(
            total_root_nodes=128,
            branching_factor=4,
            max_depth=3,
            mutually_exclusive_portion=1.0,
            compensate_probabilities=True,
            scale_children_by_parent=True,
        ),
        mean_firing_magnitudes=LinearMagnitudeConfig(start=5.0, end=4.0),
        std_firing_magnitudes=FoldedNormalMagnitudeConfig(mean=0.5, std=0.5),
        correlation=LowRankCorrelationConfig(correlation_scale=0.1, rank=25),
        bias=0.5,
        seed=seed,
    )
    model = SyntheticModel(config)
    torch.manual_seed(seed + 1000)
    values = torch.cat([model.activation_generator.sample(BATCH).to_sparse().cpu() for _ in range(ROWS // BATCH)])
    dense = values.to_dense()
    fires = dense > 0
    l0 = fires.sum(1).double()
    found = {"l0": l0.mean(), "l0 deviation": l0.std(), "first feature": fires[:, 0].double().mean()}
    for name, start, end in zip(NAMES, LEVELS, LEVELS[1:]):
        part = dense[:, start:end]
        active = part[part > 0].double()
        found[f"{name}: active"] = (part > 0).sum(1).double().mean()
        found[f"{name}: mean value"] = active.mean()
        found[f"{name}: deviation of values"] = active.std()
    # Firing of the tops: the mean square of their correlations, beyond what independent features would show.
    tops = fires[:, :128].double()
    correlation = torch.corrcoef(tops.T)
    off = correlation[~torch.eye(128, dtype=torch.bool)]
    found["tops: mean square of correlations"] = off.pow(2).mean() - 1 / ROWS
    # A child and its grandchild never fire without their parents, nor two siblings together.
    found["two siblings together"] = (fires[:, 128:640].reshape(ROWS, 128, 4).sum(2) > 1).sum()
    return {name: float(value) for name, value in found.items()}


print(json.dumps([statistics(seed) for seed in (1, 2, 3)], indent=1))
