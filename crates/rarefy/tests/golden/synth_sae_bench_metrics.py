"""Figures of SynthSAEBench that SAELens 6.54.12 computes for a small decoder, rows and values that are drawn here.

    python synth_sae_bench_metrics.py

writes synth_sae_bench_metrics.safetensors, the inputs, and synth_sae_bench_metrics.json, the figures.
"""

import json
from pathlib import Path

import torch
from sae_lens.evals import ExplainedVarianceCalculator
from sae_lens.synthetic import evals
from safetensors.torch import save_file

torch.manual_seed(3)
D_IN, FEATURES, LATENTS, ROWS = 6, 40, 24, 200

features = torch.nn.functional.normalize(torch.randn(FEATURES, D_IN), dim=1)
# Latents near features, one of them opposite, two near the same one, some of random direction.
decoder = features[torch.randint(FEATURES, (LATENTS,))] + 0.2 * torch.randn(LATENTS, D_IN)
decoder[3] *= -2.0
decoder[5] = decoder[4] * 1.1
decoder[10:14] = torch.randn(4, D_IN)
feature_values = torch.rand(ROWS, FEATURES) * (torch.rand(ROWS, FEATURES) < 0.1)
x = feature_values @ features + 0.3
latents = (x @ decoder.T - 0.3).relu()
latents[:, 7] = 0.0
latents[:, 3] *= -1.0
x_hat = latents @ decoder * 0.2 + 0.25
x[17] = 0.0

calculators = {
    "l0": evals.L0Calculator(),
    "dead": evals.DeadLatentsCalculator(LATENTS),
    "shrinkage": evals.ShrinkageCalculator(),
    "variance": ExplainedVarianceCalculator(),
    "detection": evals.ClassificationMetricsCalculator(decoder, features),
}
calculators["l0"].add_batch(latents)
calculators["dead"].add_batch(latents)
calculators["shrinkage"].add_batch(x_hat, x)
calculators["variance"].add_batch(x_hat, x)
calculators["detection"].add_batch(latents, feature_values)
detection = calculators["detection"].compute()
figures = {
    "mcc": evals.mean_correlation_coefficient(decoder, features),
    "uniqueness": evals.feature_uniqueness(decoder, features),
    "f1_score": detection.f1_score,
    "precision": detection.precision,
    "recall": detection.recall,
    "accuracy": detection.accuracy,
    "explained_variance": float(calculators["variance"].compute()),
    "shrinkage": calculators["shrinkage"].compute(),
    "sae_l0": calculators["l0"].compute(),
    "dead_latents": calculators["dead"].compute(),
}
inputs = {
    "decoder": decoder,
    "features": features,
    "feature_values": feature_values,
    "latents": latents,
    "x": x,
    "x_hat": x_hat,
}
flat = {name: value.contiguous().flatten() for name, value in inputs.items()}
path = Path(__file__).with_suffix(".safetensors")
save_file(flat, path)
path.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
