"""Numbers that the peers' own tests hold, worked out anew by the released packages; and what their steps really do.

Prints a table and fails if a number is another one than written here. README.md quotes it.
Packages that are not installed are left out, and said to be.

Needs sae-lens==6.54.12 and dictionary-learning==0.1.0; if they are there, also overcomplete==0.3.0 and
sparse-autoencoder==1.10.0 (with matplotlib and strenum). Usage:
    python crates/rarefy/tests/golden/peers/hand_worked.py
"""

import importlib
import importlib.util
import math
import sys
import unittest.mock
import warnings

import torch

ROUND = 6


def show(package, what, got, want, room=1e-6):
    got, want = torch.as_tensor(got, dtype=torch.float64), torch.as_tensor(want, dtype=torch.float64)
    assert got.shape == want.shape, f"{what}: {tuple(got.shape)}"
    assert torch.allclose(got, want, atol=room, rtol=0), f"{what}: {got.tolist()} not {want.tolist()}"
    rounded = (torch.round(got, decimals=ROUND) + 0.0).tolist()
    print(f"| {package} | {what} | {rounded} |")


# SAELens.


def batch_topk():
    from sae_lens.saes.batchtopk_sae import BatchTopK

    cases = [
        (2, [[1, -2, 3, -4], [-5, 6, -7, 8]], [[1, 0, 3, 0], [0, 6, 0, 8]]),
        (2, [[1, 2, 3, 4], [-5, -6, 0.5, -8]], [[1, 2, 3, 4], [0, 0, 0, 0]]),
        (1.5, [[1, -2, 3, -4], [-5, 6, -7, 8]], [[0, 0, 3, 0], [0, 6, 0, 8]]),
        (2, [[-1, 2, -3, -4], [5, -6, -7, -8]], [[0, 2, 0, 0], [5, 0, 0, 0]]),
    ]
    for k, rows, want in cases:
        got = BatchTopK(k)(torch.tensor(rows, dtype=torch.float32))
        show("SAELens", f"BatchTopK, k = {k} of {rows}", got, want)


def threshold():
    from sae_lens.saes import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig

    sae = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=2, d_sae=3, k=1, topk_threshold_lr=0.01))
    seen = []
    for row in ([0.5, 0.0, 2.0], [0.0, 0.0, 0.0], [0.3, 0.4, 0.0]):
        sae.update_topk_threshold(torch.tensor([row]))
        seen.append(float(sae.topk_threshold))
    show("SAELens", "threshold from 0, rate 0.01, smallest active 0.5, none active, 0.3", seen,
         [0.005, 0.005, 0.00795])


def pre_act():
    from sae_lens.saes.jumprelu_sae import calculate_pre_act_loss

    theta = torch.tensor([1.0, 2.0, 1.5, 0.5])
    pre = torch.tensor([[0.5, 1.5, 1.0, 0.8], [0.8, 2.5, 1.2, 0.2]])
    dead, norms = torch.tensor([1, 0, 1, 0]).bool(), torch.tensor([2.0, 1.0, 1.5, 3.0])
    show("SAELens", "pre-activation loss, coefficient 1, theta [1,2,1.5,.5], pre [[.5,1.5,1,.8],[.8,2.5,1.2,.2]], "
         "dead [1,0,1,0], norms [2,1,1.5,3]", calculate_pre_act_loss(1.0, theta, pre, dead, norms), 1.3)
    nobody = torch.zeros_like(dead)
    show("SAELens", "the same, nobody dead", calculate_pre_act_loss(1.0, theta, pre, nobody, norms), 0.0)
    show("SAELens", "the same, no mask", calculate_pre_act_loss(1.0, theta, pre, None, norms), 0.0)


def jump_gradients():
    """Hand-worked: theta 1, width 0.5, so the window is (0.75, 1.25); upstream gradient 1."""
    from sae_lens.saes.jumprelu_sae import JumpReLU, Step

    pre = [[0.7, 0.75, 0.8, 1.0, 1.2, 1.25, 1.3]]
    for ste in (False, True):
        for name, function in (("JumpReLU", JumpReLU), ("Step", Step)):
            x = torch.tensor(pre, requires_grad=True)
            theta = torch.ones(7, requires_grad=True)
            function.apply(x, theta, 0.5, ste).sum().backward()
            by_theta = -1 / 0.5  # Step's; JumpReLU's has theta in place of the 1
            window = torch.tensor([0, 0, 1, 1, 1, 0, 0.0])
            above = torch.tensor([0, 0, 0, 0, 1, 1, 1.0]) if name == "JumpReLU" else torch.zeros(7)
            show("SAELens", f"{name}, gradient for theta = 1 at {pre[0]}, width 0.5, to input {ste}", theta.grad,
                 by_theta * window)
            show("SAELens", "  and for the pre-activation", torch.zeros(7) if x.grad is None else x.grad[0],
                 above - (by_theta * window if ste else 0 * window))


def schedules():
    from sae_lens.training.optim import CoefficientScheduler, get_lr_scheduler

    def rates(name, steps, warm, decay, end, lr=0.1, cycles=1):
        optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=lr)
        scheduler = get_lr_scheduler(name, optimizer=optimiser, training_steps=steps, lr=lr, warm_up_steps=warm,
                                     decay_steps=decay, lr_end=end, num_cycles=cycles)
        seen = []
        for _ in range(steps + 1):
            seen.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()
        return seen

    show("SAELens", "constant, lr 0.1, 4 steps, warm-up 2; rate of steps 0..4", rates("constant", 4, 2, 0, 0.0),
         [0.05, 0.1, 0.1, 0.1, 0.1])
    show("SAELens", "constant, lr 0.1, 4 steps, decay 4", rates("constant", 4, 0, 4, 0.0),
         [0.1, 0.075, 0.05, 0.025, 0])
    show("SAELens", "constant, lr 0.1, 7 steps, warm-up 2, decay 3", rates("constant", 7, 2, 3, 0.0),
         [0.05, 0.1, 0.1, 0.1, 0.1, 0.2 / 3, 0.1 / 3, 0])
    cosine = [0.05 * (1 + math.cos(math.pi * t / 4)) for t in range(5)]
    show("SAELens", "cosineannealing, lr 0.1, 4 steps, lr_end 0", rates("cosineannealing", 4, 0, 0, 0.0), cosine)
    half = [0.06 + 0.04 * math.cos(math.pi * t / 4) for t in range(5)]
    show("SAELens", "cosineannealing, lr 0.1, 4 steps, lr_end 0.02", rates("cosineannealing", 4, 0, 0, 0.02), half)
    tail = rates("cosineannealing", 8, 2, 2, 0.02)
    show("SAELens", "cosineannealing, lr 0.1, 8 steps, warm-up 2, decay 2, lr_end 0.02", tail,
         [0.05, 0.1, *half[:4], 0.02, 0.01, 0])
    again = [0.05 * (1 + math.cos(math.pi * t / 2)) for t in (0, 1, 0, 1, 0)]
    show("SAELens", "cosineannealingwarmrestarts, lr 0.1, 4 steps, 2 cycles, lr_end 0",
         rates("cosineannealingwarmrestarts", 4, 0, 0, 0.0, cycles=2), again)
    coefficient = CoefficientScheduler(warm_up_steps=4, final_value=2.0)
    seen = [coefficient.value] + [coefficient.step() for _ in range(5)]
    show("SAELens", "coefficient 2, warm-up 4, of steps 0..5", seen, [0, 0.5, 1, 1.5, 2, 2])
    other = CoefficientScheduler(warm_up_steps=4, final_value=2.0)
    half_way = CoefficientScheduler(warm_up_steps=4, final_value=2.0)
    half_way.step(), half_way.step()
    other.load_state_dict(half_way.state_dict())
    show("SAELens", "the same, resumed after two steps", other.value, 1.0)


def data_chores():
    from sae_lens.training.activation_scaler import ActivationScaler
    from sae_lens.training.mixing_buffer import mixing_buffer

    scaler = ActivationScaler()
    scaler.estimate_scaling_factor(4, iter([torch.tensor([[3.0, 4, 0, 0], [0, 0, 0, 1]])] * 2), 2)
    show("SAELens", "scale of rows [3,4,0,0], [0,0,0,1]: sqrt(4) / mean norm 3", scaler.scaling_factor, 2 / 3)
    loader = (torch.ones(n, 2) for n in (10, 10, 10, 4))
    batches = sum(1 for _ in mixing_buffer(16, 4, loader))
    show("SAELens", "batches of 4 that a mixing buffer of 16 makes of 34 rows", float(batches), 8.0)


def auxiliary():
    """The auxiliary loss takes pre-activations as they are: below 0 too, and for AbsTopK by size."""
    from sae_lens.saes.abstopk_sae import AbsTopK, calculate_abstopk_aux_acts
    from sae_lens.saes.topk_sae import TopK, calculate_topk_aux_acts

    pre, dead = torch.tensor([[-1.0, -3.0, 2.0, -2.0]]), torch.tensor([True, True, False, True])
    show("SAELens", "AuxK, 2 of the dead, pre [-1,-3,2,-2], dead [1,1,0,1]: no ReLU",
         calculate_topk_aux_acts(2, pre, dead)[0], [-1, 0, 0, -2])
    show("SAELens", "AuxK of AbsTopK, the same", calculate_abstopk_aux_acts(2, pre, dead)[0], [0, -3, 0, -2])
    show("SAELens", "TopK(3) of [-1,-3,2,-2]: ReLU after the choice", TopK(3)(pre)[0], [0, 0, 2, 0])
    show("SAELens", "AbsTopK(2) of [-1,-3,2,-1.5]", AbsTopK(2)(torch.tensor([[-1, -3, 2, -1.5]]))[0], [0, -3, 2, 0])


def quadratic():
    """Two rows with 1 and 3 latents active, target 2: 2/2 ((1-2)^2 + (3-2)^2) / 2."""
    from sae_lens.saes import JumpReLUTrainingSAE, JumpReLUTrainingSAEConfig
    from sae_lens.saes.sae import TrainStepInput

    sae = JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(
        d_in=3, d_sae=3, jumprelu_sparsity_loss_mode="quadratic", target_l0=2.0, jumprelu_init_threshold=0.5))
    sae.W_enc.data = torch.eye(3)
    rows = torch.tensor([[1.0, 0, 0], [1, 1, 1]])
    out = sae.training_forward_pass(TrainStepInput(rows, {"l0": 1.0}, None, 0, False))
    show("SAELens", "quadratic, L0 of the rows 1 and 3, target 2: a mean over rows of 2/target (L0 - target)^2",
         out.losses["l0_loss"].detach(), 1.0)


def norms():
    from sae_lens.saes import StandardTrainingSAE, StandardTrainingSAEConfig

    row = torch.tensor([[1.0, 2.0, 3.0, 6.0]])
    for kind, want in (("constant_norm_rescale", row[0] * 2 / math.sqrt(50)),
                       ("layer_norm", (row[0] - 3) / (math.sqrt(14 / 3) + 1e-5))):
        sae = StandardTrainingSAE(StandardTrainingSAEConfig(d_in=4, d_sae=5, normalize_activations=kind))
        show("SAELens", f"{kind} of [1,2,3,6]", sae.process_sae_in(row)[0].detach(), want)


# dictionary_learning.


def dictionaries():
    from dictionary_learning.dictionary import AutoEncoder, GatedAutoEncoder, JumpReluAutoEncoder

    x = torch.tensor([[2.0, -1.0]])
    plain, gated, jump = AutoEncoder(2, 2), GatedAutoEncoder(2, 2), JumpReluAutoEncoder(2, 2)
    show("DL", "AutoEncoder, latents whose encoder bias begins at 0 (it is torch.nn.Linear's own)",
         float((plain.encoder.bias == 0).sum()), 0.0)
    plain.encoder.bias.data.zero_()
    for ae in (plain, gated):
        ae.encoder.weight.data, ae.decoder.weight.data = torch.eye(2), torch.eye(2)
        show("DL", f"{type(ae).__name__}, identity weights, of [2,-1]", ae(x)[0].detach(), [2, 0])
    jump.W_enc.data, jump.W_dec.data = torch.eye(2), torch.eye(2)
    jump.threshold.data, jump.b_dec.data = torch.tensor([0.5, 2.5]), torch.tensor([1.0, 1.0])
    show("DL", "JumpReluAutoEncoder, identity, theta [.5,2.5], b_dec [1,1], of [2,2]: b_dec is not subtracted",
         jump(torch.tensor([[2.0, 2.0]]))[0].detach(), [3, 1])
    torch.manual_seed(0)
    ae = AutoEncoder(3, 5)
    ae.encoder.bias.data, ae.bias.data = torch.randn(5), torch.randn(3)
    rows = torch.randn(7, 3)
    before = ae(rows).detach()
    ae.normalize_decoder()
    show("DL", "normalize_decoder moves a reconstruction by at most", (ae(rows) - before).abs().max().detach(), 0.0)
    before = ae(rows).detach()
    ae.scale_biases(3.0)
    show("DL", "scale_biases(3): f(3 x) - 3 f(x), at most", (ae(3 * rows) - 3 * before).abs().max().detach(), 0.0, 1e-5)


def dl_schedules():
    from dictionary_learning.trainers.trainer import get_lr_schedule, get_sparsity_warmup_fn

    rate = get_lr_schedule(10, 3, 6)
    show("DL", "lr factor, 10 steps, warm-up 3, decay from 6", [rate(t) for t in range(11)],
         [0, 1 / 3, 2 / 3, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0])
    rate = get_lr_schedule(10, 2, None, 4)
    show("DL", "lr factor, warm-up 2, resampling every 4", [rate(t) for t in range(9)], [0, 0.5, 1, 1, 0, 0.5, 1, 1, 0])
    scale = get_sparsity_warmup_fn(10, 4)
    show("DL", "sparsity factor, warm-up 4", [scale(t) for t in range(6)], [0, 0.25, 0.5, 0.75, 1, 1])


def dl_step_on_f():
    """Step is given f, not the pre-activation: below the threshold f is 0, so only the upper half counts."""
    from dictionary_learning.trainers.jumprelu import JumpReLUFunction, StepFunction

    pre = torch.tensor([[0.7, 0.8, 1.0, 1.2, 1.3]])

    def slope(theta, width, on_f):
        theta = torch.full((5,), theta, requires_grad=True)
        given = JumpReLUFunction.apply(pre, theta.detach(), width) if on_f else pre
        StepFunction.apply(given, theta, width).sum().backward()
        return theta.grad

    show("DL", "Step on pre [.7,.8,1,1.2,1.3], theta 1, width .5: slope for theta", slope(1.0, 0.5, False),
         [0, -2, -2, -2, 0])
    show("DL", "  on f, as the trainer calls it", slope(1.0, 0.5, True), [0, 0, 0, -2, 0])
    silent = torch.full((1,), 0.2, requires_grad=True)
    f = JumpReLUFunction.apply(torch.tensor([[-3.0]]), silent.detach(), 0.5)
    StepFunction.apply(f, silent, 0.5).sum().backward()
    show("DL", "  of a latent at -3, theta .2, width .5: f = 0 lies in the window", silent.grad, [-2.0])


def dl_matryoshka_weights():
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer

    trainer = MatryoshkaBatchTopKTrainer(10, 2, 4, 2, 0, "none", [0.5, 0.5], warmup_steps=0, seed=0, device="cpu")
    ae = trainer.ae
    ae.W_enc.data, ae.b_enc.data = torch.zeros(2, 4), torch.zeros(4)
    ae.W_dec.data, ae.b_dec.data = torch.eye(4, 2), torch.zeros(2)
    loss = trainer.loss(torch.tensor([[3.0, 4.0]]), step=1)
    show("DL", "Matryoshka, two levels, both reconstruct 0 of [3,4]: 25 (1/2 + 1/2) / 2", loss.detach(), 12.5)


def dl_anneal_queue():
    """What the first p does, and what the ratio of the second change is made of."""
    from dictionary_learning.trainers.p_anneal import PAnnealTrainer

    trainer = PAnnealTrainer(10, 2, 3, 0, "none", warmup_steps=0, sparsity_warmup_steps=None, sparsity_function="Lp^p",
                             anneal_start=1, anneal_end=3, p_start=1.0, p_end=0.5, n_sparsity_updates=3, seed=0,
                             device="cpu")
    seen = []
    x = torch.tensor([[1.0, 2.0], [2.0, -1.0]])
    for step in range(5):
        seen.append(trainer.p)
        loss = trainer.loss(x, step)
        assert math.isfinite(float(loss))
    show("DL", "p of steps 0..4, annealed 1 -> .5 at steps 1, 2, 3", seen, [1, 1, 1, 0.75, 0.5])
    f = trainer.ae.encode(x).detach()
    norm = [float(f.pow(p).sum(dim=1).mean()) for p in (1.0, 0.75, 0.5)]
    first = norm[0] / norm[1]
    second = (norm[0] + norm[1]) / (norm[1] + norm[2])
    show("DL", "sparsity weight over .1 after both changes, less r01 (n0 + n1) / (n1 + n2): the queue keeps old pairs",
         trainer.sparsity_coeff / 0.1 - first * second, 0.0, 1e-5)


def dl_power_at_zero():
    """f^p with p < 1 at f = 0, with a row in which nothing fires."""
    from dictionary_learning.trainers.p_anneal import PAnnealTrainer

    for kind in ("Lp", "Lp^p"):
        trainer = PAnnealTrainer(10, 2, 3, 0, "none", warmup_steps=0, sparsity_warmup_steps=None, p_start=0.5,
                                 sparsity_function=kind, seed=0, device="cpu")
        trainer.ae.encoder.bias.data -= 0.05
        # A row at the bias: every pre-activation is -0.05.
        trainer.loss(torch.tensor([[0.0, 0.0], [2.0, -1.0]]), 0).backward()
        bad = sum(int((~p.grad.isfinite()).sum()) for p in trainer.ae.parameters())
        show("DL", f"{kind}, p = .5, a silent row: gradients that are not finite", float(bad), 0.0)


def dl_seed():
    from dictionary_learning.trainers.jumprelu import JumpReluTrainer

    first, second = (JumpReluTrainer(9, 4, 6, 0, "none", seed=1, warmup_steps=0, sparsity_warmup_steps=None).ae.W_enc
                     for _ in range(2))
    show("DL", "JumpReluTrainer(seed=1) twice, equal weights (the seed is not used)", float(torch.equal(first, second)),
         0.0)


def dl_resampling():
    """Four latents of which three are dead, two rows: two are resampled. What is left of weights and moments?"""
    from dictionary_learning.trainers.gated_anneal import GatedAnnealTrainer
    from dictionary_learning.trainers.p_anneal import PAnnealTrainer
    from dictionary_learning.trainers.standard import StandardTrainer

    rows = torch.tensor([[3.0, 4.0], [6.0, 8.0]])
    options = dict(warmup_steps=1, sparsity_warmup_steps=None, resample_steps=4, seed=0, device="cpu")
    for trainer_class in (StandardTrainer, PAnnealTrainer):
        trainer = trainer_class(10, 2, 4, 0, "none", **options)
        ae, name = trainer.ae, trainer_class.__name__
        ae.encoder.weight.data, ae.encoder.bias.data = 2 * torch.eye(4, 2) + 1e-3, torch.full((4,), -0.5)
        trainer.loss(rows, 1).backward()
        trainer.optimizer.step()
        moments = trainer.optimizer.state_dict()["state"][1]["exp_avg_sq"]
        moments.fill_(1.0)
        before = ae.encoder.weight.detach().clone()
        trainer.resample_neurons(torch.tensor([False, True, True, True]), rows)
        after = ae.encoder.weight.detach()
        show("DL", f"{name}, resampling 3 dead latents of 4 from 2 rows: which encoder rows change",
             (after != before).any(dim=1).double(), [0, 1, 1, 0] if trainer_class is StandardTrainer else [0, 0, 0, 0])
        show("DL", "  which lose their moments", (moments == 0).all(dim=1).double(),
             [0, 1, 1, 0] if trainer_class is StandardTrainer else [0, 1, 1, 1])
        if trainer_class is StandardTrainer:
            lengths = sorted((after[1:3].norm(dim=1) / before[0].norm() / 0.2).tolist())
            show("DL", "  length of a new encoder row over .2 times the living one's: that of the input, 5 and 10",
                 lengths, [5, 10], 1e-4)
    trainer = GatedAnnealTrainer(10, 2, 4, 0, "none", **options)
    try:
        trainer.resample_neurons(torch.tensor([False, True, True, True]), rows)
        fails = 0.0
    except (AttributeError, TypeError, IndexError):
        fails = 1.0
    show("DL", "GatedAnnealTrainer, resampling fails (its encoder has no bias)", fails, 1.0)


# overcomplete and sparse-autoencoder want packages for plots, and names that today's torch has no more. What is
# called here needs neither, so stand-ins do.


def overcomplete():
    for name in ("cv2", "overcomplete.visualization"):
        sys.modules.setdefault(name, unittest.mock.MagicMock())
    from overcomplete.metrics import hoyer, kappa_4, r2_score, relative_avg_l2_loss
    from overcomplete.sae import kernels
    from overcomplete.sae.batchtopk_sae import BatchTopKSAE
    from overcomplete.sae.jump_sae import heaviside, jump_relu
    from overcomplete.sae.losses import mse_l1, reanimation_regularizer, top_k_auxiliary_loss

    x, x_hat = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.1, 1.9], [2.9, 4.1]])
    codes, eye = torch.tensor([[0.1, 0.2], [0.3, 0.4]]), torch.eye(2)
    data = "x [[1,2],[3,4]], x_hat [[1.1,1.9],[2.9,4.1]], codes [[.1,.2],[.3,.4]]"
    show("overcomplete", f"mse_l1, penalty .5, {data}: .01 + .5 * 1", mse_l1(x, x_hat, codes, codes, eye, 0.5), 0.51)
    show("overcomplete", "top_k_auxiliary_loss, the same, all codes kept: 1.1 mse",
         top_k_auxiliary_loss(x, x_hat, codes, codes, eye), 0.011)
    # Residuals [-.1,.1], [.1,-.1], less [0,.2], [0,.4]: squares .01 + .01 + .01 + .25 over 4.
    show("overcomplete", "  no code kept: mse + .1 * .07", top_k_auxiliary_loss(x, x_hat, codes, 0 * codes, eye), 0.017)
    pre = torch.tensor([[-1.0, 2.0], [-1.0, 0.0]], requires_grad=True)
    loss = reanimation_regularizer(x, x_hat, pre, pre.relu(), eye, penalty=1.0)
    loss.backward()
    show("overcomplete", "reanimation_regularizer, pre [[-1,2],[-1,0]], penalty 1", loss.detach(), 2.0, 1e-5)
    show("overcomplete", "  gradient", pre.grad, [[-1, 0], [-1, 0]], 1e-5)
    show("overcomplete", "relative_avg_l2_loss of [[1,2],[3,4]], [[1,2],[2,4]]: (0 + 1/5) / 2",
         relative_avg_l2_loss(x, torch.tensor([[1.0, 2.0], [2.0, 4.0]])), 0.1)
    show("overcomplete", "hoyer of [1,0,0], [1,1,1]", hoyer(torch.tensor([[1.0, 0, 0], [1, 1, 1]])), [1, 0], 1e-4)
    show("overcomplete", "kappa_4 of [1,1], [1,0]", kappa_4(torch.tensor([[1.0, 1], [1, 0]])), [0.5, 1])
    show("overcomplete", "r2_score of [[1,2],[3,4]], [[1,1.5],[3,3.5]]: 1 - .125 / 1.25, the mean over everything",
         r2_score(x, torch.tensor([[1, 1.5], [3, 3.5]])), 0.9)

    class Twice(torch.nn.Module):
        def forward(self, x):
            return x, x

    sae = BatchTopKSAE(input_shape=3, nb_concepts=3, top_k=3, encoder_module=Twice())
    z = sae.encode(torch.tensor([[1.0, 3, 2], [6, 4, 5]]))[1]
    show("overcomplete", "BatchTopK, top_k 3 for the whole batch, of [[1,3,2],[6,4,5]]", z, [[0, 0, 0], [6, 4, 5]])
    first = float(sae.running_threshold)
    sae.encode(torch.tensor([[0.0, 10, 0], [0, 0, 0]]))
    show("overcomplete", "  threshold, and after [[0,10,0],[0,0,0]]: .9 * 4 + .1 * 0",
         [first, float(sae.running_threshold)], [4, 3.6])

    theta, rectangle = torch.ones(3, requires_grad=True), kernels.rectangle_kernel
    rows = torch.tensor([[0.1, 0.6, 2.0], [1.4, 2.0, 3.0]], requires_grad=True)
    jump_relu(rows, theta, rectangle, 1.0).sum().backward()
    show("overcomplete", "jump_relu, theta 1, width 1, of [[.1,.6,2],[1.4,2,3]]: slope for theta", theta.grad,
         [-1, -1, 0])
    show("overcomplete", "  for the input", rows.grad, [[0, 0, 1], [1, 1, 1]])
    show("overcomplete", "  slope for theta 1, width .5, of 1.2: theta / width is 2, the kernel has its own 1 / width",
         slope_of_half(jump_relu, rectangle), [-4.0])
    at = torch.ones(1)
    show("overcomplete", "jump_relu and heaviside of a value at its threshold, both 1",
         [float(jump_relu(at, at, rectangle, 1.0)), float(heaviside(at, at, rectangle, 1.0))], [1, 0])
    u = torch.tensor([0.0, 0.25, 0.5, 1.0, 1.5])
    want = {
        "rectangle": [0.5, 0.5, 0.5, 0.5, 0],
        "gaussian": [math.exp(-t * t / 2) / (2 * math.sqrt(2 * math.pi)) for t in u.tolist()],
        "triangular": [1, 0.75, 0.5, 0, 0],
        "cosine": [(1 + math.cos(math.pi * t / 2)) / 2 for t in u.tolist()],
        "epanechnikov": [0.75 * max(1 - t * t, 0) for t in u.tolist()],
        "quartic": [15 / 16 * max(1 - t * t, 0) ** 2 for t in u.tolist()],
        "silverman": [math.exp(-t / math.sqrt(2)) * math.sin(t / math.sqrt(2) + math.pi / 4) for t in u.tolist()],
        "cauchy": [1 / (math.pi * (1 + t * t)) for t in u.tolist()],
    }
    line = torch.arange(-2000.0, 2000.0, 1e-3, dtype=torch.float64)
    for name, values in want.items():
        kernel = getattr(kernels, f"{name}_kernel")
        show("overcomplete", f"{name}_kernel, width 2, at 0, .25, .5, 1, 1.5", kernel(u, 2.0), values)
        area = {"gaussian": 0.5, "cosine": 2.0, "silverman": 2.0}.get(name, 1.0)
        show("overcomplete", f"  its area ({area}) less what was found", kernel(line, 2.0).sum() / 1e3 - area, 0, 2e-3)


def slope_of_half(jump_relu, kernel):
    theta = torch.ones(1, requires_grad=True)
    jump_relu(torch.tensor([[1.2]]), theta, kernel, 0.5).sum().backward()
    return theta.grad


def sparse_autoencoder():
    for module, name in (("torch.serialization", "FILE_LIKE"), ("torch.optim.optimizer", "params_t")):
        setattr(importlib.import_module(module), name, object)
    from sparse_autoencoder.activation_resampler.activation_resampler import ActivationResampler
    from sparse_autoencoder.metrics.train.feature_density import TrainBatchFeatureDensityMetric

    show("sparse-autoencoder", "sampling probabilities of losses 1, 2, 3: squares over 14",
         ActivationResampler.assign_sampling_probabilities(torch.tensor([1.0, 2, 3])), [1 / 14, 4 / 14, 9 / 14])
    activity, encoder = torch.tensor([3, 0, 5, 0, 1, 3]), torch.nn.Parameter(torch.ones(6, 2))
    show("sparse-autoencoder", "encoder row of a revived latent, input [3,4], living rows [1,1]: .2 sqrt(2) [.6,.8]",
         ActivationResampler.renormalize_and_scale(torch.tensor([[3.0, 4]]), activity, encoder)[0],
         [0.12 * math.sqrt(2), 0.16 * math.sqrt(2)])
    density = TrainBatchFeatureDensityMetric(0.001)
    show("sparse-autoencoder", "density of [.5,.5,0], [.5,0,.0001] above .001",
         density.feature_density(torch.tensor([[[0.5, 0.5, 0]], [[0.5, 0, 0.0001]]]))[0], [1, 0.5, 0])


def main():
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    print("| package | case | result |\n|---|---|---|")
    for case in (batch_topk, threshold, pre_act, jump_gradients, schedules, data_chores, norms, auxiliary, quadratic,
                 dictionaries, dl_schedules, dl_step_on_f, dl_matryoshka_weights, dl_anneal_queue, dl_power_at_zero,
                 dl_seed, dl_resampling):
        case()
    for case in (overcomplete, sparse_autoencoder):
        if importlib.util.find_spec(case.__name__) is None:
            print(f"| {case.__name__} | not installed here | not checked |")
        else:
            case()


if __name__ == "__main__":
    main()
