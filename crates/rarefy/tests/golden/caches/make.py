"""Writes activations with the packages that cache them: SAELens 6.54.12 (with datasets 5.2.0) and saev 0.1.0.

Values are counted from 0, in the order of the rows. Run it with both packages installed; the model that they would run is left out.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from datasets import Array2D, Features, Sequence, Value
from sae_lens.cache_activations_runner import CacheActivationsRunner
from saev import config
from saev.activations import ShardWriter

HERE = Path(__file__).parent


class Five(config.ImageFolderDataset):
    """Pictures that are not there."""

    n_imgs = 5


def saelens() -> None:
    """Two shards of 2 contexts of 3 tokens, width 4; token i + 100 at row i."""
    out = HERE / "saelens"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    hook = "blocks.0.hook_resid_pre"
    runner = object.__new__(CacheActivationsRunner)
    runner.cfg = SimpleNamespace(hook_name=hook, n_seq_in_buffer=2, d_in=4)
    runner.context_size = 3
    # As its __init__ sets them.
    features = {hook: Array2D(shape=(3, 4), dtype="float32"), "token_ids": Sequence(Value("int32"), length=3)}
    runner.features = Features(features)
    for shard in range(2):
        rows = torch.arange(24, dtype=torch.float32).reshape(6, 4) + 24 * shard
        tokens = torch.arange(6) + 100 + 6 * shard
        runner._create_shard((rows, tokens)).save_to_disk(out / ".tmp_shards" / f"shard_{shard:05d}", num_shards=1)
    runner._consolidate_shards(out / ".tmp_shards", out, copy_files=False)


def saev() -> None:
    """Five examples of layers 6 and 11, each [CLS] and 2 patches of width 2, two examples in a shard."""
    out = HERE / "saev"
    shutil.rmtree(out, ignore_errors=True)
    settings = config.Activations(
        data=Five(), dump_to=str(out), vit_layers=[6, 11], d_vit=2, n_patches_per_img=2, n_patches_per_shard=12
    )
    writer = ShardWriter(settings)
    values = torch.arange(5 * 2 * 3 * 2, dtype=torch.float32).reshape(5, 2, 3, 2)
    for first in (0, 3):
        writer[first : min(first + 3, 5)] = values[first : first + 3]
    writer.flush()
    (hashed,) = out.iterdir()
    for file in hashed.iterdir():
        shutil.move(file, out / file.name)
    hashed.rmdir()
    total = np.concatenate([np.fromfile(file, "<f4") for file in sorted(out.glob("*.bin"))])
    assert (total[: values.numel()] == values.reshape(-1).numpy()).all()


if __name__ == "__main__":
    saelens()
    saev()
