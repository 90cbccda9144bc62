"""What SAELens and dictionary_learning make of rows before they train on them, and SAELens's fold into the weights.

    target/peers/bin/python crates/rarefy/tests/golden/normalise.py

Writes `normalise/`: `rows.safetensors` with the rows, both packages' factors, and an SAE before and after SAELens folded
its factor in; two SAEs as the package saves them (`constant_norm_rescale`, `layer_norm`), each with `outputs.safetensors`
beside: x, latents, x_hat.
"""

from pathlib import Path

import torch
from dictionary_learning.training import get_norm_factor
from sae_lens.saes.standard_sae import StandardSAE, StandardSAEConfig
from sae_lens.training.activation_scaler import ActivationScaler
from safetensors.torch import save_file

D_IN, D_SAE, ROWS = 6, 10, 64


def sae(kind):
    torch.manual_seed(3)
    model = StandardSAE(StandardSAEConfig(d_in=D_IN, d_sae=D_SAE, normalize_activations=kind))
    with torch.no_grad():
        for values in model.parameters():
            values.copy_(torch.randn_like(values) * 0.5)
    return model


def main():
    here = Path(__file__).parent / "normalise"
    here.mkdir(exist_ok=True)
    torch.manual_seed(0)
    x = torch.randn(ROWS, D_IN) * torch.linspace(0.5, 3, D_IN) + 0.7
    scaler = ActivationScaler()
    # The package looks at so many batches of an endless stream; these are all rows, once.
    scaler.estimate_scaling_factor(D_IN, iter(x.split(8)), n_batches_for_norm_estimate=ROWS // 8)
    told = {
        "x": x,
        "saelens_factor": torch.tensor([scaler.scaling_factor], dtype=torch.float64),
        "dictionary_learning_factor": torch.tensor([get_norm_factor(iter(x.split(8)), steps=ROWS // 8)], dtype=torch.float64),
    }
    folded = sae("expected_average_only_in")
    told |= {f"before.{name}": values.detach().clone() for name, values in folded.named_parameters()}
    folded.fold_activation_norm_scaling_factor(scaler.scaling_factor)
    told |= {f"after.{name}": values.detach().clone() for name, values in folded.named_parameters()}
    save_file({k: v.contiguous() for k, v in told.items()}, here / "rows.safetensors")
    for kind in ("constant_norm_rescale", "layer_norm"):
        model = sae(kind)
        with torch.no_grad():
            outputs = {"x": x[:8], "latents": model.encode(x[:8]), "x_hat": model(x[:8])}
        folder = here / kind
        folder.mkdir(exist_ok=True)
        model.save_model(folder)
        save_file({k: v.contiguous() for k, v in outputs.items()}, folder / "outputs.safetensors")


if __name__ == "__main__":
    main()
