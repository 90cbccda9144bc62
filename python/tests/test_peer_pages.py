"""The programs of `docs/python-peers.md` run, on a random Llama and short texts; those of other libraries are read only."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

import rarefy

PAGE = Path(__file__).parents[2] / "docs/python-peers.md"
MISSING = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
WIDTH, LAYERS, VOCABULARY = 16, 12, 100

#: Sizes of the page and of the test.
SMALLER = {"n_latents=4608": "n_latents=64", "k=32": "k=4", "steps=5000": "steps=4", "batch_size=4096": "batch_size=512"}


def programs() -> list[tuple[str, list[str]]]:
    """Headings with their programs: that of the other library, then ours."""
    parts = re.split(r"^##+ (.*)\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [(heading, re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)) for heading, text in zip(parts[1::2], parts[2::2])]
    return [(heading, blocks) for heading, blocks in found if blocks]


def modules_of(program: str) -> set[str]:
    """Names of the packages that a program imports."""
    nodes = list(ast.walk(ast.parse(program)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in names}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a language model `tiny` and the two files of texts."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("peers")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=WIDTH,
        intermediate_size=24,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=2,
        vocab_size=VOCABULARY,
        max_position_embeddings=128,
        initializer_range=0.5,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder / "tiny")
    words = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, VOCABULARY)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder / "tiny")
    rng = np.random.default_rng(0)
    for name, lines in (("texts.txt", 60), ("held-out.txt", 10)):
        texts = [" ".join(f"w{i}" for i in rng.integers(3, VOCABULARY, size=80)) for _ in range(lines)]
        (folder / name).write_text("\n".join(texts) + "\n", encoding="utf-8")
    return folder


def test_each_library_has_its_program_beside_ours() -> None:
    imported = {heading: [modules_of(block) for block in blocks] for heading, blocks in programs()}
    theirs = {"SAELens": "sae_lens", "dictionary_learning": "dictionary_learning", "sparsify": "sparsify", "Transcoders": "sparsify"}
    assert list(imported) == list(theirs)
    for heading, library in theirs.items():
        first, second = imported[heading]
        assert library in first and "rarefy" not in first
        assert "rarefy" in second and second <= {"rarefy", "transformers", "pathlib"}


@pytest.mark.skipif(bool(MISSING), reason=f"LEFT OUT: the programs of docs/python-peers.md need {', '.join(MISSING)}")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("heading", [heading for heading, _ in programs()])
def test_our_program_runs(
    heading: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    code = dict(programs())[heading][1].replace("HuggingFaceTB/SmolLM2-135M", "tiny")
    assert '"tiny", "model.layers.10' in code
    for old, new in SMALLER.items():
        code = code.replace(old, new)
    names: dict[str, object] = {"__name__": "__main__"}
    exec(compile(code, f"{PAGE.name}, {heading}", "exec"), names)
    sae = names.get("sae") or names["transcoder"]
    assert isinstance(sae, rarefy.Model)
    assert (sae.n_inputs, sae.options["k"], sae.is_transcoder) == (WIDTH, 4, heading == "Transcoders")
    assert ("explained_variance" in capsys.readouterr().out) == (heading != "sparsify")
    for folder in re.findall(r'\.save\("(.*?)"\)', code):
        assert rarefy.load(folder) == sae
