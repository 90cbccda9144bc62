"""Fixtures of dictionary_learning: five updates of the released package's own trainers.

Writes `dl_*.safetensors` beside this file; README.md says what is in them. Losses, constraints, optimiser
and schedules are the package's. Set from here: the weights, the rows, and for Matryoshka how long ago
latents last fired and when they count as dead (attributes, not arguments: 10 million rows otherwise).

The updates are steps 1 to 5, not 0 to 4: at step 0 every sparsity weight that warms up is 0, and Matryoshka
would put the geometric median into b_dec. The learning rate has a counter of its own, which starts at 0.

TopK and BatchTopK are in the folder above, over 200 steps.

Needs dictionary-learning==0.1.0 and safetensors. Usage:
    python crates/rarefy/tests/golden/peers/make_dictionary_learning.py [NAME...]
"""

import copy
import dataclasses
import math

import torch
from making import LR, MARGIN, from_cut, from_edge, main, nearest, require, start

from dictionary_learning.trainers.gated_anneal import GatedAnnealTrainer
from dictionary_learning.trainers.gdm import GatedSAETrainer
from dictionary_learning.trainers.jumprelu import JumpReluTrainer
from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
from dictionary_learning.trainers.p_anneal import PAnnealTrainer
from dictionary_learning.trainers.standard import StandardTrainer, StandardTrainerAprilUpdate

# Over the five updates: learning rate 1, 1, 1, 1, 3/4 of lr; sparsity weight 1/2, 1, 1, 1, 1 of its own.
SCHEDULE = dict(steps=7, warmup_steps=0, decay_start=3)
FROM = 1  # The first update's step
DEAD_AFTER = 1000  # Rows
ROWS_FIRST = {"W_enc": "d_sae d_in", "W_dec": "d_in d_sae"}  # torch.nn.Linear
COLUMNS_FIRST = {"W_enc": "d_in d_sae", "W_dec": "d_sae d_in"}
# The package's names behind the plain ones.
AUTOENCODER = {"W_enc": "encoder.weight", "b_enc": "encoder.bias", "W_dec": "decoder.weight", "b_dec": "bias"}
GATED = {"W_enc": "encoder.weight", "b_gate": "gate_bias", "b_mag": "mag_bias", "r_mag": "r_mag",
         "W_dec": "decoder.weight", "b_dec": "decoder_bias"}
PLAIN = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}


@dataclasses.dataclass
class Out:
    """What one update gave."""

    total: float
    parts: dict
    scalars: dict
    acts: torch.Tensor
    dead: torch.Tensor | None
    first: dict


@dataclasses.dataclass
class Case:
    name: str
    trainer: type
    family: str
    options: dict
    names: dict
    layout: dict
    dead: tuple = ()
    unit: bool = True  # Decoder directions of length 1
    d_in: int = 12
    d_sae: int = 40
    margin: float = MARGIN
    threshold: tuple = (0.15, 0.5)
    upper: bool = False  # Nothing in the lower half of JumpReLU's window
    silent: tuple = ()  # Never fire until they are resampled
    drawn: torch.Tensor | None = None  # The rows that resampling drew, for the run in f64

    def begin(self, random, data, dtype):
        return Run(self, random, data, dtype)

    def hold(self, tensors, about):
        for name, values in tensors.items():
            if name.startswith("loss."):
                require((values > 0).all(), f"{name} is 0")
        for name in ("threshold", "r_mag", "b_mag"):
            if f"grad.{name}" in tensors:
                share = (tensors[f"grad.{name}"] != 0).mean()
                require(share > (0.25 if self.upper else 0.5), f"{name} has a gradient for {share:.2f} of the latents")
        if self.dead:
            require(not about["fired"][list(self.dead)].any(), "a dead latent fired")
            require((tensors["dead"].sum(axis=1) == len(self.dead)).all(), "the dead changed")
        if self.silent:
            require(tensors["resampled.latents"].tolist() == list(self.silent), "others were resampled")
        if "p" in tensors:
            require(len(set(tensors["p"].round(6))) == 3, "p did not move twice")


class Run:
    """The package's trainer, and how far rows are from the places where its step jumps."""

    def __init__(self, case, random, data, dtype):
        self.case, self.margin, self.at = case, case.margin, FROM
        named = {"activation_dim": case.d_in, "dict_size": case.d_sae, "layer": 0, "lm_name": "none", "seed": 0,
                 "device": "cpu", "lr": LR}
        self.trainer = case.trainer(**named | SCHEDULE | case.options)
        self.ae = self.trainer.ae
        everything = dict(self.ae.named_parameters())
        self.params = {plain: everything[name] for plain, name in case.names.items()}
        assert len(self.params) == len(everything), everything.keys()
        norms = (1.0, 1.0) if case.unit else (0.6, 1.4)
        shy = case.dead + case.silent
        values = start(random, data, self.params, case.d_sae, norms, shy=shy, threshold=case.threshold)
        for name, param in self.params.items():
            value = values[name].T if case.layout.get(name) == "d_in d_sae" else values[name]
            assert param.shape == value.shape, name
            param.data = value.contiguous().clone()
        self.ae.to(dtype)
        if case.dead:
            self.trainer.dead_feature_threshold = DEAD_AFTER
            self.trainer.num_tokens_since_fired[list(case.dead)] = DEAD_AFTER
            self.watch_dead()
        if case.silent:
            self.trainer.resample_neurons = self.watched_resampling(self.trainer.resample_neurons, dtype)
        self.resampled = {}
        self.told = self.settings_now()

    def watched_resampling(self, resample, dtype):
        """Writes down which latents got which rows. In f64 the draw would be another; it takes that of f32."""
        def watched(dead, rows):
            draw = torch.multinomial

            def drawing(weights, **options):
                if dtype == torch.float32:
                    self.case.drawn = draw(weights, **options)
                self.resampled["resampled.weights"] = weights / weights.sum()
                return self.case.drawn

            torch.multinomial = drawing
            try:
                resample(dead, rows)
            finally:
                torch.multinomial = draw
            if self.case.drawn is not None and bool(dead.any()):
                # The package has taken those for whom there is no row out of `dead`.
                self.resampled |= {"resampled.latents": dead.nonzero()[:, 0], "resampled.rows": self.case.drawn,
                                   "resampled.after_updates": torch.tensor(self.at - FROM)}

        return watched

    def watch_dead(self):
        """The mask that the auxiliary loss goes by, as it is called."""
        auxiliary = self.trainer.get_auxiliary_loss

        def watched(*given):
            self.mask = self.trainer.num_tokens_since_fired >= self.trainer.dead_feature_threshold
            return auxiliary(*given)

        self.trainer.get_auxiliary_loss = watched

    def about(self):
        return {}

    def state(self):
        return {"since_fired": self.trainer.num_tokens_since_fired} if self.case.dead else {}

    def at_end(self):
        return self.resampled

    def settings(self):
        return self.told

    def settings_now(self):
        """As they are before the first update: annealing moves some."""
        settings = {key: value for key, value in self.trainer.config.items() if value is not None}
        for key in ("activation_dim", "dict_size", "layer", "lm_name", "wandb_name", "device", "seed", "steps"):
            settings.pop(key, None)
        settings |= SCHEDULE | self.case.options | {"schedule_steps": SCHEDULE["steps"], "first_step": FROM}
        settings |= {f"name_{plain}": name for plain, name in self.case.names.items()}
        group = self.trainer.optimizer.param_groups[0]
        settings |= {"adam_beta1": group["betas"][0], "adam_beta2": group["betas"][1], "adam_eps": group["eps"],
                     "unit_norm_decoder": self.case.unit, "lr": LR, "trainer": type(self.trainer).__name__}
        if self.case.dead:
            settings |= {"dead_feature_threshold": DEAD_AFTER, "dead_latents_fire": False}
        settings.pop("steps")
        return settings

    def step(self, x):
        trainer, step = self.trainer, self.at
        self.at += 1
        scalars = {"lr": trainer.optimizer.param_groups[0]["lr"]}
        if hasattr(trainer, "sparsity_warmup_fn"):
            scalars["sparsity_scale"] = trainer.sparsity_warmup_fn(step)
        if hasattr(trainer, "p_values"):
            scalars |= {"p": trainer.p, "sparsity_coeff": trainer.sparsity_coeff}
        log, first, parts = self.peek(x, step, scalars)
        seen, loss = [], trainer.loss
        trainer.loss = lambda *given, **named: seen.append(loss(*given, **named)) or seen[-1]
        try:
            trainer.update(step, x)
        finally:
            trainer.loss = loss
        return Out(total=float(seen[0].detach()), parts=parts, scalars=scalars, acts=log, first=first,
                   dead=self.mask.clone() if self.case.dead else None)

    @torch.no_grad()
    def peek(self, x, step, scalars):
        """The package's own report of this step, on a copy whose counts may move."""
        trainer = copy.copy(self.trainer)
        for name in ("num_tokens_since_fired", "sparsity_queue"):
            if hasattr(trainer, name):
                setattr(trainer, name, copy.deepcopy(getattr(trainer, name)))
        if self.case.dead:
            trainer.get_auxiliary_loss = type(trainer).get_auxiliary_loss.__get__(trainer)
        log = type(trainer).loss(trainer, x, step=step, logging=True)
        _, x_hat, acts, losses = log
        acts, x_hat = acts.clone(), x_hat.clone()
        first = self.pre(x) | {"acts": acts, "x_hat": x_hat}
        parts = getattr(self, f"parts_{self.case.family}")(x, acts, x_hat, losses, scalars)
        return acts, first, parts

    # Pre-activations; the package keeps them to itself, but for what it makes of them.

    @torch.no_grad()
    def pre(self, x):
        ae, family = self.ae, self.case.family
        if family in ("standard", "p_anneal"):
            return {"pre": ae.encoder(x - ae.bias)}
        if family in ("gated", "gated_anneal"):
            both = ae.encoder(x - ae.decoder_bias)
            return {"pre_gate": both + ae.gate_bias, "pre": ae.r_mag.exp() * both + ae.mag_bias}
        if family == "jumprelu":
            return {"pre": ae.encode(x, output_pre_jump=True)[1]}
        return {"pre": (x - ae.b_dec) @ ae.W_enc + ae.b_enc}

    # The parts of the loss as they enter the total.

    def parts_standard(self, x, acts, x_hat, losses, scalars):
        weight = self.trainer.l1_penalty * scalars["sparsity_scale"]
        return {"mse_loss": losses["mse_loss"], "sparsity_loss": weight * losses["sparsity_loss"]}

    def parts_gated(self, x, acts, x_hat, losses, scalars):
        return self.parts_standard(x, acts, x_hat, losses, scalars) | {"aux_loss": losses["aux_loss"]}

    def parts_p_anneal(self, x, acts, x_hat, losses, scalars):
        return {"mse_loss": squares(x - x_hat), "sparsity_loss": losses["scaled_lp_loss"]}

    def parts_gated_anneal(self, x, acts, x_hat, losses, scalars):
        return {name: losses[name] for name in ("mse_loss", "sparsity_loss", "aux_loss")}

    def parts_jumprelu(self, x, acts, x_hat, losses, scalars):
        l0 = float((acts > self.ae.threshold).double().sum(dim=1).mean())
        weight = self.trainer.sparsity_coefficient * scalars["sparsity_scale"]
        return {"mse_loss": losses["l2_loss"], "sparsity_loss": weight * (l0 / self.trainer.target_l0 - 1) ** 2}

    def parts_matryoshka(self, x, acts, x_hat, losses, scalars):
        """The package reports the least, the largest and the mean level; here each, as a share of that mean."""
        sizes, weights = self.trainer.group_sizes, self.trainer.group_weights
        ends = [sum(sizes[:level + 1]) for level in range(len(sizes))]
        levels = [weight * squares(x - acts[:, :end] @ self.ae.W_dec[:end] - self.ae.b_dec) / len(sizes)
                  for weight, end in zip(weights, ends)]
        assert abs(sum(levels) / losses["l2_loss"] - 1) < 1e-5
        parts = {f"l2_loss_{end}": level for end, level in zip(ends, levels)}
        return parts | {"auxk_loss": self.trainer.auxk_alpha * losses["auxk_loss"]}

    # Rows: how near each comes to an edge, and whether it may be used.

    def rows(self, x):
        pre = self.pre(x)
        away = [from_edge(value) for value in pre.values()]
        pre, allowed = pre["pre"], torch.ones(len(x), dtype=torch.bool)
        if self.case.family == "jumprelu":
            half = self.trainer.bandwidth / 2
            away = [from_edge(pre, self.ae.threshold + shift) for shift in (-half, 0, half)]
            assert bool((self.ae.threshold > half * 1.01).all()), "an f of 0 would lie in the window"
            if self.case.upper:
                # Its Step sees f, so the half of the window below the threshold has no part in it: a fault
                # that nobody should have to imitate. Nothing lies there in any row.
                allowed &= ~((pre > self.ae.threshold - half) & (pre <= self.ae.threshold)).any(dim=1)
        if self.case.dead:
            dead = list(self.case.dead)
            away.append(from_cut(pre[:, dead].relu(), self.case.d_in // 2))
            cut = pre.relu().flatten().topk(int(self.ae.k) * len(x)).values[-1]
            allowed &= ~(pre[:, dead] >= cut).any(dim=1)
        if self.case.silent and not self.resampled:
            allowed &= ~(pre[:, list(self.case.silent)] > 0).any(dim=1)
        return nearest(*away), allowed

    def whole(self, x):
        if self.case.family != "matryoshka":
            return math.inf
        acts = self.pre(x)["pre"].relu()
        count = int(self.ae.k) * len(x)
        if bool((acts[:, list(self.case.dead)] >= acts.flatten().topk(count).values[-1]).any()):
            return -1.0
        return float(from_cut(acts.flatten(), count))


def squares(error):
    return float(error.pow(2).sum(dim=-1).mean())


WARM = dict(sparsity_warmup_steps=2)
ANNEAL = WARM | dict(anneal_start=2, anneal_end=4, p_start=0.9, p_end=0.5, n_sparsity_updates=3)
DEAD = (1, 6, 12, 15, 20, 22, 26, 29, 33, 36)

CASES = [
    Case("dl_standard", StandardTrainer, "standard", WARM | dict(l1_penalty=0.2), AUTOENCODER, ROWS_FIRST),
    # Resampled at step 3, after the third update; the rate of the fourth is 0 then.
    Case("dl_standard_resampled", StandardTrainer, "standard",
         WARM | dict(l1_penalty=0.2, resample_steps=3, warmup_steps=1, decay_start=None), AUTOENCODER, ROWS_FIRST,
         silent=(1, 6, 15, 22, 26, 33), d_in=13, d_sae=37),
    Case("dl_april", StandardTrainerAprilUpdate, "standard", WARM | dict(l1_penalty=0.2, warmup_steps=2),
         AUTOENCODER, ROWS_FIRST, unit=False, d_in=13, d_sae=37),
    Case("dl_jumprelu", JumpReluTrainer, "jumprelu", WARM | dict(bandwidth=0.1, sparsity_penalty=1.0, target_l0=6.0),
         PLAIN | {"threshold": "threshold"}, COLUMNS_FIRST, upper=True),
    Case("dl_jumprelu_whole_window", JumpReluTrainer, "jumprelu",
         WARM | dict(bandwidth=0.25, sparsity_penalty=1.0, target_l0=6.0), PLAIN | {"threshold": "threshold"},
         COLUMNS_FIRST),
    Case("dl_gated", GatedSAETrainer, "gated", WARM | dict(l1_penalty=0.2), GATED, ROWS_FIRST),
    Case("dl_matryoshka", MatryoshkaBatchTopKTrainer, "matryoshka",
         dict(k=4, group_fractions=[0.25, 0.25, 0.5], group_weights=[0.5, 0.3, 0.2], auxk_alpha=1 / 32), PLAIN,
         COLUMNS_FIRST, dead=DEAD, d_in=13, d_sae=37),
    Case("dl_p_anneal_lp", PAnnealTrainer, "p_anneal",
         ANNEAL | dict(sparsity_function="Lp", initial_sparsity_penalty=0.03), AUTOENCODER, ROWS_FIRST, margin=1e-2),
    Case("dl_p_anneal_lp_p", PAnnealTrainer, "p_anneal",
         ANNEAL | dict(sparsity_function="Lp^p", initial_sparsity_penalty=0.1), AUTOENCODER, ROWS_FIRST, margin=1e-2),
    Case("dl_gated_anneal", GatedAnnealTrainer, "gated_anneal",
         ANNEAL | dict(sparsity_function="Lp^p", initial_sparsity_penalty=0.1), GATED, ROWS_FIRST, margin=1e-2),
]


if __name__ == "__main__":
    main(__doc__, CASES, "dictionary-learning 0.1.0")
