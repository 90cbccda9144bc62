//! The fast path against the f64 twin: every loss, decoder, estimate and form, tied or not.

use rarefy_kernels::decoder::Output;
use rarefy_kernels::naive::{self, Penalty, Problem, Weights};

use super::*;
use crate::data::Memory;
use crate::options::{OptionSet, Options};
use crate::variants::{Kl, KlOptions};

/// A source that pretends to be on disk: no slice, only positioned reads.
struct OnDisk(Memory);

impl Source for OnDisk {
    fn name(&self) -> &'static str {
        "on disk"
    }
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn d_in(&self) -> usize {
        self.0.d_in()
    }
    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        self.0.read(start, out)
    }
}

struct Case {
    kl: Kl,
    output: Output,
    tied: bool,
    params: Params,
    rows: Memory,
}

const RHO: f64 = 0.05;
const BETA: f64 = 3.0;
const DECAY: f64 = 1e-3;

fn case(output: Output, tied: bool, n: usize, d_in: usize, d_sae: usize, bias: f32) -> Case {
    let (loss, decoder) = match output {
        Output::LinearSquared => ("squared", "linear"),
        Output::SigmoidSquared => ("squared", "sigmoid"),
        Output::SigmoidCrossEntropy => ("cross-entropy", "sigmoid"),
    };
    let given = [
        ("rho", RHO.to_string()),
        ("beta", BETA.to_string()),
        ("weight_decay", DECAY.to_string()),
        ("loss", loss.into()),
        ("decoder", decoder.into()),
        ("tied", tied.to_string()),
    ];
    let options = Options::check(KlOptions::TABLE, given).unwrap();
    let kl = Kl::new(&KlOptions::read(&options)).unwrap();
    let f = |i: usize| i as f32;
    let x = (0..n * d_in)
        .map(|t| 0.5 + 0.4 * (0.7 * f(t / d_in + 1) * f(t % d_in + 1)).sin())
        .collect();
    let mut params = Params::zeros(&kl.layout(d_in, d_sae));
    for (i, w) in params.values_mut().iter_mut().enumerate() {
        *w = 0.4 * (1.0 + 1.3 * f(i)).cos();
    }
    params.get_mut("b_enc").iter_mut().for_each(|b| *b += bias);
    Case {
        kl,
        output,
        tied,
        params,
        rows: Memory::new("test", d_in, x),
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

fn twin(case: &Case) -> naive::ObjectiveValue {
    let p = &case.params;
    let weights = Weights {
        w_enc: wide(p.get("w_enc")),
        b_enc: wide(p.get("b_enc")),
        w_dec: wide(p.find("w_dec").filter(|_| !case.tied).unwrap_or_default()),
        b_dec: wide(p.get("b_dec")),
    };
    let problem = Problem {
        x: &wide(case.rows.as_slice().unwrap()),
        d_in: case.rows.d_in(),
        d_sae: p.get("b_enc").len(),
        output: case.output,
        penalty: Penalty::Kl { rho: RHO },
        beta: BETA,
        weight_decay: DECAY,
    };
    naive::objective(&problem, &weights, naive::GradientForm::InMemory)
}

fn fast(case: &Case, rows: &dyn Source, form: Form) -> (Parts, Vec<f64>) {
    let mut pass = Pass::new(&case.kl, rows.d_in(), case.params.get("b_enc").len());
    let parts = pass
        .evaluate(&case.params, rows, form, &mut |batch| batch)
        .unwrap();
    (parts, wide(pass.gradient().values()))
}

fn distance(got: &[f64], want: &[f64]) -> f64 {
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|v| v * v).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(a, b)| a - b)) / norm(&mut want.iter().copied())
}

const OUTPUTS: [Output; 3] = [
    Output::LinearSquared,
    Output::SigmoidSquared,
    Output::SigmoidCrossEntropy,
];
const FORMS: [Form; 3] = [Form::Cached, Form::Recomputed, Form::Deferred];

#[test]
fn every_form_agrees_with_the_twin() {
    for output in OUTPUTS {
        for tied in [false, true] {
            for (n, d_in, d_sae) in [(1, 3, 2), (50, 8, 5), (700, 17, 33)] {
                let case = case(output, tied, n, d_in, d_sae, -1.0);
                let want = twin(&case);
                let gradient: Vec<f64> = want.gradient.values().collect();
                for form in FORMS {
                    let (parts, got) = fast(&case, &case.rows, form);
                    let off = distance(&got, &gradient);
                    assert!(
                        off < 2e-6,
                        "{output:?} tied {tied} {n}x{d_in}x{d_sae} {form:?}: {off:e}"
                    );
                    let total = (parts.total() - want.total).abs() / want.total;
                    assert!(
                        total < 1e-6,
                        "{output:?} tied {tied} {n} {form:?}: value off by {total:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn saturated_latents_get_the_exact_finite_gradient_in_every_form() {
    for bias in [
        -3000.0, -200.0, -100.0, -75.0, -40.0, 17.0, 40.0, 75.0, 100.0, 3000.0,
    ] {
        let case = case(Output::SigmoidSquared, false, 300, 6, 4, bias);
        let want = twin(&case);
        let gradient: Vec<f64> = want.gradient.values().collect();
        for form in FORMS {
            let (parts, got) = fast(&case, &case.rows, form);
            assert!(
                (parts.total() / want.total - 1.0).abs() < 1e-5,
                "bias {bias} {form:?}: {} {}",
                parts.total(),
                want.total
            );
            let off = distance(&got, &gradient);
            assert!(off < 1e-5, "bias {bias} {form:?}: {off:e}");
            let b_enc = 4 * 6..4 * 6 + 4;
            // beta (sigma - rho): not zero (E10), not infinite (E11).
            assert!(
                got[b_enc]
                    .iter()
                    .all(|g| g.abs() > 0.9 * BETA * RHO && g.abs() < BETA),
                "bias {bias}"
            );
        }
    }
}

#[test]
fn nothing_depends_on_threads_or_on_where_rows_lie() {
    let case = case(Output::SigmoidCrossEntropy, false, 3000, 20, 11, -1.0);
    let on = |threads, rows: &dyn Source, form| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| fast(&case, rows, form))
    };
    for form in FORMS {
        let reference = on(1, &case.rows, form);
        for threads in [2, 3, 7] {
            assert_eq!(
                on(threads, &case.rows, form),
                reference,
                "{threads} threads, {form:?}"
            );
        }
        let disk = OnDisk(Memory::new(
            "test",
            20,
            case.rows.as_slice().unwrap().to_vec(),
        ));
        assert_eq!(on(2, &disk, form), reference, "read by position, {form:?}");
    }
}

#[test]
fn the_size_of_chunks_changes_nothing_but_rounding() {
    let case = case(Output::SigmoidSquared, false, 900, 9, 7, -1.0);
    let (parts, gradient) = fast(&case, &case.rows, Form::Cached);
    for (chunk, lanes) in [(1, 1), (7, 3), (64, 8), (900, 1), (1000, 16)] {
        for form in FORMS {
            let mut pass = Pass::new(&case.kl, 9, 7);
            let cut = Chunking::of(900, 9, chunk, lanes);
            let cut_parts = pass
                .evaluate_cut(&case.params, &case.rows, cut, form, &mut |batch| batch)
                .unwrap();
            assert!(
                (cut_parts.total() - parts.total()).abs() < 1e-7 * parts.total(),
                "chunks of {chunk}, {form:?}"
            );
            let off = distance(&wide(pass.gradient().values()), &gradient);
            assert!(off < 2e-6, "chunks of {chunk}, {form:?}: {off:e}");
        }
    }
}

#[test]
fn permuting_examples_changes_nothing_but_rounding() {
    let case = case(Output::SigmoidSquared, false, 900, 9, 7, -1.0);
    let mut rows: Vec<&[f32]> = case.rows.as_slice().unwrap().chunks_exact(9).collect();
    let (parts, gradient) = fast(&case, &case.rows, Form::Cached);
    rows.reverse();
    rows.rotate_left(123);
    let permuted = Memory::new("permuted", 9, rows.concat());
    let (parts_permuted, gradient_permuted) = fast(&case, &permuted, Form::Cached);
    assert!((parts.total() - parts_permuted.total()).abs() < 1e-8);
    assert!(distance(&gradient_permuted, &gradient) < 1e-6);
}

#[test]
fn omega_of_a_latent_does_not_see_other_latents() {
    // E2: a mean over latents instead of examples would couple them.
    let mut case = case(Output::LinearSquared, false, 200, 5, 3, -1.0);
    case.params.get_mut("w_dec").fill(0.0);
    let (_, before) = fast(&case, &case.rows, Form::Cached);
    case.params.get_mut("w_enc")[5..]
        .iter_mut()
        .for_each(|w| *w += 1.0);
    let (_, after) = fast(&case, &case.rows, Form::Cached);
    assert_eq!(
        before[..5],
        after[..5],
        "latent 0's encoder gradient is its own"
    );
    assert_ne!(before[5..10], after[5..10]);
}

#[test]
fn doubling_beta_doubles_the_penaltys_gradient() {
    // E17: with the loss silent (w_dec = 0), the encoder's gradient is the penalty's.
    let gradient = |beta: &str| {
        let given = [
            ("rho", "0.05".to_owned()),
            ("beta", beta.to_owned()),
            ("decoder", "linear".into()),
        ];
        let options = Options::check(KlOptions::TABLE, given).unwrap();
        let kl = Kl::new(&KlOptions::read(&options)).unwrap();
        let mut case = case(Output::LinearSquared, false, 200, 5, 3, -1.0);
        case.params.get_mut("w_dec").fill(0.0);
        case.kl = kl;
        fast(&case, &case.rows, Form::Deferred).1[..15].to_vec()
    };
    let (once, twice) = (gradient("1"), gradient("2"));
    assert!(
        once.iter()
            .zip(&twice)
            .all(|(a, b)| (2.0 * a - b).abs() <= 1e-6 * a.abs()),
        "{once:?} {twice:?}"
    );
}
