"""Activations of language models: harvest them, train on them, evaluate and explore the trained autoencoder.

::

    from transformers import AutoModelForCausalLM, AutoTokenizer
    import rarefy
    from rarefy import lm

    model = AutoModelForCausalLM.from_pretrained("path/of/a/model")
    tokenizer = AutoTokenizer.from_pretrained("path/of/a/model")

    store = lm.harvest(model, tokenizer, texts, module="model.layers.15", out="acts")
    run = rarefy.train(store, "topk", n_latents=4096, k=32)
    print(lm.evaluate(model, tokenizer, run.model, held_out_texts, module="model.layers.15"))
    lm.explorer(model, tokenizer, run.model, store).save("latents.html")
    lm.dashboard(model, tokenizer, run.model, store, "dashboards")      # files for Neuronpedia

Activations that were saved before, such as arrays, files or those that SAELens cached, become such a store too::

    store = lm.shard("path/of/cached/activations", "acts", dtype="float16", skip_first=1)

Training without a store reads the activations while the model runs::

    trainer = rarefy.Trainer("topk", n_latents=4096, k=32, steps=1000)
    trainer.fit(lm.stream(model, tokenizer, texts, module="model.layers.15"))

Models are modules of PyTorch that take `input_ids` and `attention_mask`, such as those of transformers. PyTorch is imported
by the first call that needs it: ``pip install 'rarefy[lm]'``.
"""

from ._dashboard import dashboard
from ._evaluate import Evaluation, evaluate
from ._explorer import explorer
from ._harvest import harvest, stream
from ._shard import shard
from ._store import Store

__all__ = ["Evaluation", "Store", "dashboard", "evaluate", "explorer", "harvest", "shard", "stream"]
