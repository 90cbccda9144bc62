"""Numbers that the peers' own tests hold, worked out anew by the released packages; and what their steps really do.

Prints a table and fails if a number is another one than written here. README.md quotes it.
Packages that are not installed are left out, and said to be.

Needs sae-lens==6.54.12 and dictionary-learning==0.1.0. Usage:
    python crates/rarefy/tests/golden/peers/hand_worked.py
"""

import importlib.util
import math
import warnings

import torch

ROUND = 7


def show(package, what, got, want, room=1e-6):
    got, want = torch.as_tensor(got, dtype=torch.float64), torch.as_tensor(want, dtype=torch.float64)
    assert got.shape == want.shape, f"{what}: {tuple(got.shape)}"
    assert torch.allclose(got, want, atol=room, rtol=0), f"{what}: {got.tolist()} not {want.tolist()}"
    rounded = torch.round(got, decimals=ROUND).tolist()
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


def main():
    warnings.filterwarnings("ignore")
    print("| package | case | result |\n|---|---|---|")
    for case in (batch_topk, threshold, pre_act, jump_gradients, schedules, data_chores, norms, dictionaries,
                 dl_schedules, dl_step_on_f, dl_matryoshka_weights, dl_anneal_queue, dl_power_at_zero):
        case()
    for name in ("overcomplete", "sparse_autoencoder"):
        if importlib.util.find_spec(name) is None:
            print(f"| {name} | not installed here | not checked |")


if __name__ == "__main__":
    main()
