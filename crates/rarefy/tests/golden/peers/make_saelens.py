"""Fixtures of SAELens: five steps of the released package's own SAETrainer for each of its architectures.

Writes `saelens_*.safetensors` beside this file; README.md says what is in them. The trainer, its Adam, its
clip, its learning-rate schedule and its counts of dead latents are the package's. Set from here: the
weights, the rows, and how long ago latents last fired (so that some are dead from the start).

Needs sae-lens==6.54.12 and safetensors. Usage:
    python crates/rarefy/tests/golden/peers/make_saelens.py [NAME...]
"""

import dataclasses
import math
import warnings

import torch
from making import LR, MARGIN, ROWS, STEPS, from_cut, from_edge, main, nearest, require, start
from sae_lens import saes
from sae_lens.config import SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

WINDOW = 10  # Steps without firing after which a latent is dead


@dataclasses.dataclass
class Out:
    """What one step gave."""

    total: float
    parts: dict
    scalars: dict
    acts: torch.Tensor
    dead: torch.Tensor | None
    first: dict


@dataclasses.dataclass
class Case:
    name: str
    architecture: str  # As in the names of the package's classes
    options: dict
    dead: tuple = ()  # Dead from the start
    revive: bool = False  # Dead latents may fire, others fall silent
    d_in: int = 12
    d_sae: int = 40
    window: int = WINDOW
    margin: float = MARGIN
    norms: tuple = (0.6, 1.4)
    threshold: tuple = (0.15, 0.5)
    layout: dict = dataclasses.field(default_factory=lambda: {"W_enc": "d_in d_sae", "W_dec": "d_sae d_in"})

    def begin(self, random, data, dtype):
        return Run(self, random, data, dtype)

    def hold(self, tensors, about):
        """That the parts which a case is about take part."""
        for name, values in tensors.items():
            if name.startswith("loss.") and self.options.get("l1_warm_up_steps", 0) == 0:
                require((values > 0).all(), f"{name} is 0")
        for name in ("threshold", "r_mag", "b_mag"):
            if f"grad.{name}" in tensors:
                share = (tensors[f"grad.{name}"] != 0).mean()
                require(share > 0.5, f"{name} has a gradient for {share:.2f} of the latents")
        if "threshold" in tensors and self.threshold[0] > 0.01:
            require((tensors["after.threshold"] > 0.01).all(), "a threshold came near 0")
        if self.revive:
            dead = tensors["dead"].astype(int)
            change = dead[1:] - dead[:-1]
            require((change < 0).any() and (change > 0).any(), "nobody was revived, or nobody died")
        elif self.dead:
            require(not about["fired"][list(self.dead)].any(), "a dead latent fired")
            require((tensors["dead"].sum(axis=1) == len(self.dead)).all(), "the dead changed")
        if "clamped" in self.name:
            require(about["clamped"] > 0, "no threshold fell below 0")
        if self.architecture == "MatchingPursuit":
            require(about["stopped"] > 0, "no row stopped early")


class Run:
    """The package's trainer, and how far rows are from the places where its step jumps."""

    def __init__(self, case, random, data, dtype):
        self.case, self.margin = case, case.margin
        torch.manual_seed(0)
        config = getattr(saes, f"{case.architecture}TrainingSAEConfig")
        options = {key: list(value) if isinstance(value, list) else value for key, value in case.options.items()}
        self.cfg = config(d_in=case.d_in, d_sae=case.d_sae, dtype=str(dtype).removeprefix("torch."), **options)
        self.sae = getattr(saes, f"{case.architecture}TrainingSAE")(self.cfg)
        self.params = dict(self.sae.named_parameters())
        shy = case.dead if not case.revive else tuple(range(2, case.d_sae, 9))
        kept_down = {"weak": shy} if case.architecture == "AbsTopK" else {"shy": shy}
        values = start(random, data, self.params, case.d_sae, case.norms, threshold=case.threshold, **kept_down)
        for name, param in self.params.items():
            value = values[name].T if case.layout.get(name) == "d_in d_sae" else values[name]
            assert param.shape == value.shape, name
            param.data.copy_(value)
        self.trainer_cfg = SAETrainerConfig(
            total_training_samples=ROWS * STEPS, train_batch_size_samples=ROWS, lr=LR, lr_end=LR / 10,
            lr_warm_up_steps=2, lr_decay_steps=2, dead_feature_window=case.window)
        self.trainer = SAETrainer(self.trainer_cfg, self.sae, iter(()))
        since = self.trainer.n_forward_passes_since_fired
        since[list(case.dead)] = case.window + 5
        if case.revive:
            # These are dead after the first step, if it does not make them fire.
            since[list(shy)] = case.window
        self.stopped, self.clamped = 0, 0

    def about(self):
        return {"stopped": self.stopped, "clamped": self.clamped}

    def state(self):
        return {"since_fired": self.trainer.n_forward_passes_since_fired.long()}

    def at_end(self):
        return {}

    def settings(self):
        settings = {f"trainer.{key}": value for key, value in dataclasses.asdict(self.trainer_cfg).items()
                    if key in ("lr", "lr_scheduler_name", "lr_warm_up_steps", "lr_decay_steps", "adam_beta1",
                               "adam_beta2", "dead_feature_window")}
        settings |= {key: value for key, value in dataclasses.asdict(self.cfg).items()
                     if key not in ("metadata", "d_in", "d_sae", "device", "reshape_activations")}
        return settings | {"architecture": self.cfg.architecture(), "adam_eps": 1e-8,
                           "dead_latents_fire": self.case.revive}

    def step(self, x):
        dead = self.trainer.dead_neurons.clone()
        lr = self.trainer.optimizer.param_groups[0]["lr"]
        scalars = {"lr": lr}
        for name, value in self.trainer.get_coefficients().items():
            scalars["sparsity_scale"] = value / self.trainer.coefficient_schedulers[name].final_value
        if "threshold" in self.params:
            self.clamped += int((self.sae.threshold < 0).sum())
        first = {"pre_gate": self.gate(x)} if self.case.architecture == "Gated" else {}
        out = self.trainer.step(x)
        self.trainer.n_training_steps += 1
        if hasattr(self.sae, "topk_threshold"):
            scalars["threshold_ema"] = float(self.sae.topk_threshold)
        first |= {"acts": out.feature_acts, "x_hat": out.sae_out}
        if self.case.architecture != "MatchingPursuit":
            first["pre"] = out.hidden_pre
        parts = {key: float(value.detach()) for key, value in out.losses.items()}
        return Out(total=float(out.loss.detach()), parts=parts, scalars=scalars, acts=out.feature_acts.detach(),
                   dead=dead if self.case.dead else None, first=first)

    @torch.no_grad()
    def gate(self, x):
        return (x - self.sae.b_dec) @ self.sae.W_enc + self.sae.b_gate

    # Rows: how near each comes to an edge, and whether it may be used.

    def rows(self, x):
        acts, pre = self.sae.encode_with_hidden_pre(x)
        dead = self.trainer.dead_neurons
        allowed = torch.ones(len(x), dtype=torch.bool)
        if self.case.dead and not self.case.revive:
            allowed &= ~(acts[:, dead] != 0).any(dim=1)
        return getattr(self, f"rows_{self.family()}")(x, pre, dead), allowed

    def family(self):
        families = {"Standard": "relu", "Gated": "gated", "TopK": "topk", "AbsTopK": "topk", "BatchTopK": "batch",
                    "MatryoshkaBatchTopK": "batch", "JumpReLU": "jump", "MatchingPursuit": "pursuit"}
        return families[self.case.architecture]

    def rows_relu(self, x, pre, dead):
        return from_edge(pre)

    def rows_gated(self, x, pre, dead):
        return nearest(from_edge(pre), from_edge(self.gate(x)))

    def rows_topk(self, x, pre, dead):
        by = pre.abs() if self.case.architecture == "AbsTopK" else pre
        return nearest(from_edge(pre), from_cut(by, self.cfg.k), self.auxiliary(by, dead))

    def rows_batch(self, x, pre, dead):
        return nearest(from_edge(pre), self.auxiliary(pre, dead))

    def rows_jump(self, x, pre, dead):
        threshold, half = self.sae.threshold.clamp(min=0), self.cfg.jumprelu_bandwidth / 2
        return nearest(*(from_edge(pre, threshold + shift) for shift in (-half, 0, half)))

    def rows_pursuit(self, x, pre, dead):
        return self.pursuit(x)[0]

    def auxiliary(self, by, dead):
        """The cut among the dead latents; with the Matryoshka form of it, one on each level."""
        levels = [by.shape[1]]
        if getattr(self.cfg, "use_matryoshka_aux_loss", False):
            levels = self.cfg.matryoshka_widths
        cuts, begin = [torch.full((len(by),), math.inf)], 0
        for end in levels:
            values = by[:, begin:end][:, dead[begin:end]]
            if values.shape[1] > self.case.d_in // 2:
                cuts.append(from_cut(values, self.case.d_in // 2))
            begin = end
        return nearest(*cuts)

    def whole(self, x):
        if self.family() == "pursuit":
            self.stopped += self.pursuit(x)[1]
        if self.family() != "batch":
            return math.inf
        acts, pre = self.sae.encode_with_hidden_pre(x)
        if (acts[:, self.trainer.dead_neurons] != 0).any():
            return -1.0
        return float(from_cut(pre.relu().flatten(), int(self.cfg.k * len(x))))

    def pursuit(self, x):
        """The package's loop again, for how near its choices are; and how many rows stop before the last round."""
        residual, w_dec = x - self.sae.b_dec, self.sae.W_dec
        acts, done = torch.zeros(len(x), len(w_dec)), torch.zeros(len(x), dtype=torch.bool)
        near = torch.full((len(x),), math.inf)
        for _ in range(self.cfg.max_iterations):
            early = int(done.sum())
            scores = residual @ w_dec.T
            top = scores.topk(2, dim=1)
            here = torch.minimum((top.values[:, 0] - top.values[:, 1]), top.values[:, 0]) / size_of(residual)
            value = top.values[:, 0].relu() * ~done
            before = acts != 0
            acts.scatter_add_(1, top.indices[:, :1], value[:, None])
            residual = residual - value[:, None] * w_dec[top.indices[:, 0]]
            here = torch.minimum(here, (residual.norm(dim=1) / self.cfg.residual_threshold - 1).abs())
            near = torch.where(done, near, torch.minimum(near, here))
            done |= ((acts != 0) == before).all(dim=1) | (residual.norm(dim=1) < self.cfg.residual_threshold)
        assert torch.allclose(acts, self.sae.encode_with_hidden_pre(x)[0], atol=1e-5), "another loop than the package's"
        return near, early


def size_of(rows):
    return rows.norm(dim=1).clamp(min=1e-6)


TEN = tuple(range(1, 40, 4))
FOUR = (3, 11, 22, 35)
FIVE = (2, 9, 17, 25, 33)
LEVELS = (1, 4, 6, 21, 23, 25, 28, 30, 32, 34, 37, 39)  # None of them on the middle level
WIDTHS = [8, 20, 40]
JUMP = dict(jumprelu_bandwidth=0.3, l0_coefficient=0.1)
MATRYOSHKA = dict(k=4.3, matryoshka_widths=WIDTHS)

CASES = [
    Case("saelens_standard_l1", "Standard", dict(l1_coefficient=0.3)),
    Case("saelens_standard_lp_half", "Standard", dict(l1_coefficient=0.004, lp_norm=0.5), margin=1e-2),
    Case("saelens_standard_l2_warm_up", "Standard", dict(l1_coefficient=0.5, lp_norm=2.0, l1_warm_up_steps=3),
         d_in=13, d_sae=37),
    Case("saelens_standard_not_centred", "Standard", dict(l1_coefficient=0.3, apply_b_dec_to_input=False)),
    Case("saelens_topk_rescaled", "TopK", dict(k=5), dead=TEN),
    Case("saelens_topk_plain", "TopK", dict(k=5, rescale_acts_by_decoder_norm=False, aux_loss_coefficient=0.5),
         dead=FOUR),
    Case("saelens_topk_revived", "TopK", dict(k=6), dead=TEN, revive=True, window=2, d_in=13),
    Case("saelens_abstopk", "AbsTopK", dict(k=5), dead=TEN),
    Case("saelens_abstopk_plain", "AbsTopK", dict(k=5, rescale_acts_by_decoder_norm=False), dead=TEN),
    Case("saelens_batchtopk", "BatchTopK", dict(k=3.7), dead=TEN),
    Case("saelens_batchtopk_plain", "BatchTopK",
         dict(k=4.2, rescale_acts_by_decoder_norm=False, topk_threshold_lr=0.1), dead=FOUR),
    Case("saelens_jumprelu_step", "JumpReLU", JUMP | dict()),
    Case("saelens_jumprelu_clamped", "JumpReLU", JUMP | dict(l0_coefficient=1e-4), threshold=(0.0005, 0.02)),
    Case("saelens_jumprelu_tanh", "JumpReLU", JUMP | dict(jumprelu_sparsity_loss_mode="tanh")),
    Case("saelens_jumprelu_quadratic", "JumpReLU", JUMP | dict(jumprelu_sparsity_loss_mode="quadratic", target_l0=6.0)),
    Case("saelens_jumprelu_pre_act", "JumpReLU", JUMP | dict(pre_act_loss_coefficient=0.05), dead=FIVE),
    Case("saelens_jumprelu_step_ste", "JumpReLU", JUMP | dict(jumprelu_ste_to_input=True)),
    Case("saelens_jumprelu_tanh_ste_pre_act", "JumpReLU",
         JUMP | dict(jumprelu_sparsity_loss_mode="tanh", jumprelu_ste_to_input=True, pre_act_loss_coefficient=0.05),
         dead=FIVE, d_in=13, d_sae=37),
    Case("saelens_gated", "Gated", dict(l1_coefficient=0.3)),
    Case("saelens_matryoshka", "MatryoshkaBatchTopK", MATRYOSHKA | dict(), dead=LEVELS),
    Case("saelens_matryoshka_plain_norms", "MatryoshkaBatchTopK",
         MATRYOSHKA | dict(rescale_acts_by_decoder_norm=False), dead=LEVELS),
    Case("saelens_matryoshka_aux_by_level", "MatryoshkaBatchTopK",
         MATRYOSHKA | dict(use_matryoshka_aux_loss=True), dead=LEVELS),
    Case("saelens_matryoshka_aux_by_level_plain_norms", "MatryoshkaBatchTopK",
         MATRYOSHKA | dict(use_matryoshka_aux_loss=True, rescale_acts_by_decoder_norm=False), dead=LEVELS),
    Case("saelens_matching_pursuit", "MatchingPursuit",
         dict(decoder_init_norm=1.0, residual_threshold=0.7, max_iterations=6), norms=(0.9, 1.1),
         layout={"W_dec": "d_sae d_in"}),
]


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    main(__doc__, CASES, "sae-lens 6.54.12")
