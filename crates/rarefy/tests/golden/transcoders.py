"""SAELens's four transcoders with made-up weights: what each gives for eight rows.

    target/peers/bin/python crates/rarefy/tests/golden/transcoders.py

Writes `transcoders/ARCHITECTURE/` as the package saves it, with `outputs.safetensors` beside: x, latents, y.
"""

from pathlib import Path

import torch
from sae_lens.saes.transcoder import (
    JumpReLUSkipTranscoder,
    JumpReLUSkipTranscoderConfig,
    JumpReLUTranscoder,
    JumpReLUTranscoderConfig,
    SkipTranscoder,
    SkipTranscoderConfig,
    Transcoder,
    TranscoderConfig,
)
from safetensors.torch import save_file

D_IN, D_OUT, D_SAE, ROWS = 5, 4, 12, 8

KINDS = [
    (Transcoder, TranscoderConfig),
    (SkipTranscoder, SkipTranscoderConfig),
    (JumpReLUTranscoder, JumpReLUTranscoderConfig),
    (JumpReLUSkipTranscoder, JumpReLUSkipTranscoderConfig),
]


def main() -> None:
    here = Path(__file__).parent / "transcoders"
    for seed, (kind, config) in enumerate(KINDS):
        torch.manual_seed(seed)
        sizes = {"d_in": D_IN, "d_out": D_OUT, "d_sae": D_SAE}
        model = kind(config(**sizes, apply_b_dec_to_input=False))
        with torch.no_grad():
            for name, values in model.named_parameters():
                values.copy_(torch.randn_like(values) * 0.5)
                if name == "threshold":
                    values.copy_(values.abs())
        x = torch.randn(ROWS, D_IN)
        with torch.no_grad():
            latents, y = model.encode(x), model(x)
        folder = here / config.architecture()
        folder.mkdir(parents=True, exist_ok=True)
        model.save_model(folder)
        outputs = {"x": x, "latents": latents, "y": y}
        save_file({k: v.contiguous() for k, v in outputs.items()}, folder / "outputs.safetensors")


if __name__ == "__main__":
    main()
