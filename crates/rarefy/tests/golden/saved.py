"""SAEs of every architecture as SAELens saves them, in training and for use, and what each gives for eight rows.

    target/peers/bin/python crates/rarefy/tests/golden/saved.py

Writes `saved/ARCHITECTURE-training/` and `saved/ARCHITECTURE/` with `outputs.safetensors` beside: x, latents, x_hat.
Decoder rows have many lengths, so that it shows what is measured in them.
"""

from pathlib import Path

import torch
from sae_lens import (
    AbsTopKTrainingSAE,
    AbsTopKTrainingSAEConfig,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedTrainingSAE,
    GatedTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    MatchingPursuitTrainingSAE,
    MatchingPursuitTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from sae_lens.saes.sae import SAE
from safetensors.torch import save_file

D_IN, D_SAE, ROWS = 5, 12, 8

KINDS = [
    (StandardTrainingSAE, StandardTrainingSAEConfig, {}),
    (TopKTrainingSAE, TopKTrainingSAEConfig, {"k": 3}),
    (AbsTopKTrainingSAE, AbsTopKTrainingSAEConfig, {"k": 3}),
    (BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig, {"k": 3}),
    (MatryoshkaBatchTopKTrainingSAE, MatryoshkaBatchTopKTrainingSAEConfig, {"k": 3, "matryoshka_widths": [4, 12]}),
    (JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig, {}),
    (GatedTrainingSAE, GatedTrainingSAEConfig, {}),
    (MatchingPursuitTrainingSAE, MatchingPursuitTrainingSAEConfig, {"max_iterations": 3, "residual_threshold": 0.1}),
]


def made_up(kind, config, own, seed):
    torch.manual_seed(seed)
    model = kind(config(d_in=D_IN, d_sae=D_SAE, **own))
    with torch.no_grad():
        for name, values in model.named_parameters():
            values.copy_(torch.randn_like(values) * 0.5)
            if name == "threshold":
                values.copy_(values.abs())
        if hasattr(model, "topk_threshold"):
            model.topk_threshold.fill_(0.4)
    return model


def main() -> None:
    here = Path(__file__).parent / "saved"
    for seed, (kind, config, own) in enumerate(KINDS):
        model = made_up(kind, config, own, seed)
        name = config.architecture()
        in_training, for_use = here / f"{name}-training", here / name
        for folder in (in_training, for_use):
            folder.mkdir(parents=True, exist_ok=True)
        model.save_model(in_training)
        model.save_inference_model(for_use)
        used = SAE.load_from_disk(for_use)
        x = torch.randn(ROWS, D_IN)
        with torch.no_grad():
            outputs = {"x": x, "latents": used.encode(x), "x_hat": used(x)}
        for folder in (in_training, for_use):
            save_file({k: v.contiguous() for k, v in outputs.items()}, folder / "outputs.safetensors")


if __name__ == "__main__":
    main()
