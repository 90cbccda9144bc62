"""Models as PyTorch modules and as models of SAELens compute what rarefy computes."""

import copy
import functools
import pickle
import subprocess
import sys

import numpy as np
import pytest

import rarefy
from rarefy.errors import ConfigError

ARCHITECTURES = [
    "kl",
    "relu",
    "topk",
    "batch-topk",
    "abs-topk",
    "groupmax",
    "jumprelu",
    "gated",
    "matryoshka",
    "matching-pursuit",
]
ROWS = 300


@functools.cache
def rows():
    return np.ascontiguousarray(rarefy.samples.digits()[0][:ROWS], dtype=np.float32)


@functools.cache
def trained(architecture, *preprocess, steps=20, centred=True, **options):
    """Model of digits; most tests need no more than weights that differ from one another."""
    run = rarefy.train(
        rows(),
        architecture,
        n_latents=96,
        steps=steps,
        progress=False,
        preprocess=list(preprocess) or None,
        settings=None if centred else {"model.centre": False},
        **options,
    )
    return run.model


def dense(latents):
    return latents.toarray() if hasattr(latents, "toarray") else latents


def rows_apart(found, expected, tolerance):
    """Number of rows that differ by more than this share of the largest value."""
    assert found.shape == expected.shape
    return int((np.abs(found - expected).max(axis=1) > tolerance * np.abs(expected).max()).sum())


def check_module(model, module, x):
    """Latents and rows of a module are the model's to 1e-6. Rounding may change the choice in one row, at a near-tie."""
    torch = pytest.importorskip("torch")
    latents = dense(model.encode(x))
    with torch.no_grad():
        found = module.encode(torch.as_tensor(x)).numpy()
        decoded = module.decode(torch.as_tensor(latents), torch.as_tensor(x)).numpy()
        forward = module(torch.as_tensor(x)).numpy()
    assert rows_apart(found, latents, 1e-6) <= 1
    assert rows_apart(decoded, model.reconstruct(x), 1e-6) == 0
    assert rows_apart(forward, model.reconstruct(x), 2e-6) <= 1


# PyTorch


@pytest.mark.parametrize("preprocess", ["none", "standardise", "norm-row"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_module_computes_what_the_model_computes(architecture, preprocess):
    pytest.importorskip("torch")
    model = trained(architecture, preprocess)
    check_module(model, model.to_torch(), rows())


@pytest.mark.parametrize(
    "preprocess",
    [("scale:0.1:0.9",), ("norm-average",), ("layer-norm",), ("row-mean", "norm-row"), ("clip-sd:1",), ("pca:20",), ("zca",)],
)
def test_module_has_every_preprocessing_step(preprocess):
    pytest.importorskip("torch")
    model = trained("topk", *preprocess)
    check_module(model, model.to_torch(), rows())


@pytest.mark.parametrize("options", [{"tied": True}, {"decoder": "sigmoid"}])
def test_module_of_kl_has_its_decoder(options):
    pytest.importorskip("torch")
    model = trained("kl", "scale", **options)
    check_module(model, model.to_torch(), rows())


@pytest.mark.parametrize("architecture", ["topk", "gated"])
def test_module_of_a_model_without_centring_subtracts_nothing(architecture):
    pytest.importorskip("torch")
    model = trained(architecture, centred=False)
    check_module(model, model.to_torch(), rows())


def test_module_may_have_one_latent():
    pytest.importorskip("torch")
    model = rarefy.train(rows(), "relu", n_latents=1, steps=5, progress=False).model
    check_module(model, model.to_torch(), rows())


def test_module_of_matching_pursuit_ends_at_a_short_residual():
    pytest.importorskip("torch")
    model = trained("matching-pursuit", residual=20.0)
    check_module(model, model.to_torch(), rows())
    assert len(set(np.diff(model.codes(rows()).indptr))) > 1


@pytest.mark.parametrize("skip", [False, True])
def test_module_of_a_transcoder_predicts_the_target(tmp_path, skip):
    torch = pytest.importorskip("torch")
    model = transcoder(tmp_path, skip)
    module = model.to_torch()
    check_module(model, module, rows())
    latents = module.encode(torch.as_tensor(rows()))
    assert rows_apart(module.decode(latents).detach().numpy(), model.decode(model.codes(rows())), 1e-6) <= 1


def transcoder(folder, skip, preprocess="standardise"):
    np.save(folder / "inputs.npy", rows())
    np.save(folder / "target.npy", rows()[:, :20] ** 2 + 1.0)
    run = rarefy.train(
        str(folder / "inputs.npy"),
        "relu",
        target=str(folder / "target.npy"),
        n_latents=96,
        steps=20,
        progress=False,
        preprocess=preprocess,
        settings={"model.skip": skip},
    )
    assert run.model.n_outputs == 20
    return run.model


def test_module_of_a_crosscoder_is_refused_with_preprocessing(tmp_path):
    pytest.importorskip("torch")
    np.save(tmp_path / "first.npy", rows()[:, :30])
    np.save(tmp_path / "second.npy", rows()[:, 30:])
    settings = {"data.with": [str(tmp_path / "second.npy")]}
    train = functools.partial(
        rarefy.train, str(tmp_path / "first.npy"), "topk", n_latents=96, steps=20, progress=False, settings=settings
    )
    model = train(preprocess="standardise").model
    with pytest.raises(ConfigError, match=r"standardise.*folded"):
        model.to_torch()
    check_module(model.folded(), model.folded().to_torch(), rows())


@pytest.mark.parametrize("preprocess", ["none", "norm-row", "layer-norm"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_are_those_of_central_differences(architecture, preprocess):
    torch = pytest.importorskip("torch")
    module = trained(architecture, preprocess).to_torch().double()
    x = torch.as_tensor(rows()[5:9].astype(np.float64) + 0.5, dtype=torch.float64).requires_grad_()
    goal = x.detach() * 1.5

    def error():
        return (module(x) - goal).square().sum()

    error().backward()
    generator = np.random.default_rng(0)
    for values in (x, module.w_enc):
        direction = torch.as_tensor(generator.standard_normal(values.shape))
        direction = direction / direction.norm()
        found, length = (values.grad * direction).sum().item(), values.grad.norm().item()
        assert abs(found - slope(error, values, direction)) < 1e-6 * length
        assert length > 0.0


def slope(error, values, direction, step=1e-6):
    """Derivative along a direction, by central differences of order four."""
    torch = pytest.importorskip("torch")
    start, found = values.detach().clone(), []
    with torch.no_grad():
        for times in (-2, -1, 1, 2):
            values.copy_(start + times * step * direction)
            found.append(error().item())
        values.copy_(start)
    return (found[0] - 8 * found[1] + 8 * found[2] - found[3]) / (12 * step)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_active_latents_alone_have_gradients(architecture):
    torch = pytest.importorskip("torch")
    module = trained(architecture).to_torch()
    latents = module.encode(torch.as_tensor(rows()[:1]))
    latents.sum().backward()
    if architecture in ("kl", "matching-pursuit"):  # In a pursuit, a latent depends on those before it.
        return
    moved = module.w_enc.grad.abs().sum(dim=1) > 0
    assert torch.equal(moved, latents[0] != 0)
    assert 0 < moved.sum() < 96


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_state_dict_restores_a_module(architecture):
    torch = pytest.importorskip("torch")
    module = trained(architecture, "standardise").to_torch()
    other = trained(architecture, "standardise", steps=3).to_torch()
    x = torch.as_tensor(rows())
    assert not torch.equal(module(x), other(x))
    other.load_state_dict(module.state_dict())
    assert torch.equal(module(x), other(x))


def test_state_dict_has_the_names_of_the_weights():
    pytest.importorskip("torch")
    for architecture in ARCHITECTURES:
        model = trained(architecture)
        state = model.to_torch().state_dict()
        assert set(state) == set(model.weights)
        for name, values in model.weights.items():
            assert np.array_equal(state[name].numpy(), values)


def test_tied_weights_are_one_parameter():
    pytest.importorskip("torch")
    for model in (trained("matching-pursuit"), trained("kl", "scale", tied=True)):
        module = model.to_torch()
        assert module.w_dec is module.w_enc
        assert len([name for name, _ in module.named_parameters() if name.startswith("w_")]) == 1


def test_thresholds_do_not_learn():
    pytest.importorskip("torch")
    for architecture in ARCHITECTURES:
        fixed = {n for n, p in trained(architecture).to_torch().named_parameters() if not p.requires_grad}
        assert fixed == {
            "jumprelu": {"threshold"},
            "batch-topk": {"threshold"},
            "matryoshka": {"threshold"},
            "matching-pursuit": {"b_enc"},
        }.get(architecture, set())


def test_module_can_be_pickled_and_copied():
    torch = pytest.importorskip("torch")
    module = trained("topk", "norm-row").to_torch()
    x = torch.as_tensor(rows())
    for other in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert torch.equal(module(x), other(x))


def test_module_takes_rows_of_any_dimensions():
    torch = pytest.importorskip("torch")
    x = torch.as_tensor(rows()[:12])
    for architecture in ARCHITECTURES:
        module = trained(architecture, "norm-row").to_torch()
        shaped = module(x.reshape(3, 4, 64))
        assert torch.allclose(shaped.reshape(12, 64), module(x), rtol=0.0, atol=1e-4)


def test_decoder_without_rows_leaves_out_their_scales():
    torch = pytest.importorskip("torch")
    model = trained("topk", "norm-row")
    latents = model.encode(rows())
    with torch.no_grad():
        found = model.to_torch().decode(torch.as_tensor(latents.toarray())).numpy()
    assert rows_apart(found, model.decode(latents), 1e-6) == 0


def test_rows_of_zeros_have_finite_gradients():
    torch = pytest.importorskip("torch")
    for preprocess in ("norm-row", "layer-norm"):
        x = torch.zeros(2, 64, requires_grad=True)
        trained("relu", preprocess).to_torch()(x).sum().backward()
        assert torch.isfinite(x.grad).all()


# SAELens

SAELENS = {
    "relu": "standard",
    "topk": "topk",
    "batch-topk": "jumprelu",
    "abs-topk": "abstopk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "matryoshka": "jumprelu",
    "matching-pursuit": "matching_pursuit",
}


def saelens():
    reason = "SAELens is not installed, so that hand-over to it is NOT tested: pip install sae-lens"
    return pytest.importorskip("sae_lens", reason=reason)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("preprocess", ["none", "standardise", "norm-row", "layer-norm"])
@pytest.mark.parametrize("architecture", SAELENS)
def test_saelens_computes_what_the_model_computes(architecture, preprocess):
    saelens()
    import torch

    model = trained(architecture, preprocess)
    if architecture == "matching-pursuit" and preprocess == "standardise":
        with pytest.raises(ConfigError, match="cannot be folded"):
            model.to_saelens()
        return
    theirs = model.to_saelens()
    assert theirs.cfg.architecture() == SAELENS[architecture]
    latents = dense(model.encode(rows()))
    with torch.no_grad():
        found = theirs.encode(torch.as_tensor(rows())).numpy()
        decoded = theirs.decode(torch.as_tensor(latents)).numpy()
    assert rows_apart(found, latents, 1e-5) <= 1
    assert rows_apart(decoded, model.reconstruct(rows()), 1e-5) == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("skip", [False, True])
def test_saelens_opens_transcoders(tmp_path, skip):
    saelens()
    import torch

    model = transcoder(tmp_path, skip)
    theirs = model.to_saelens()
    with torch.no_grad():
        x = torch.as_tensor(rows())
        assert rows_apart(theirs.encode(x).numpy(), dense(model.encode(rows())), 1e-5) <= 1
        assert rows_apart(theirs(x).numpy(), model.reconstruct(rows()), 1e-5) <= 1


@pytest.mark.filterwarnings("ignore")
def test_models_that_saelens_does_not_have_are_refused():
    saelens()
    for architecture in ("kl", "groupmax"):
        with pytest.raises(ConfigError, match=f"SAELens has no model.*`{architecture}`"):
            trained(architecture, "row-mean").to_saelens()
    with pytest.raises(ConfigError, match="row-mean"):
        trained("topk", "row-mean").to_saelens()


# Missing libraries

MISSING = """
import sys
sys.modules[{library!r}] = None
import rarefy
model = rarefy.train("sample:digits", "topk", n_latents=16, k=2, steps=1, progress=False).model
try:
    model.{method}()
except ModuleNotFoundError as error:
    assert {hint!r} in str(error), error
else:
    raise AssertionError("no error")
"""


@pytest.mark.parametrize(
    ("library", "method", "hint"),
    [
        ("torch", "to_torch", "pip install 'rarefy[torch]'"),
        ("sae_lens", "to_saelens", "pip install sae-lens"),
    ],
)
def test_missing_library_is_named(library, method, hint):
    script = MISSING.format(library=library, method=method, hint=hint)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_torch_is_imported_only_when_used():
    script = "import sys, rarefy; rarefy.load, rarefy.train; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
