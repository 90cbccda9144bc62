//! Made-up rows and weights, and the terms of an objective worked out on them in f64.

use rarefy::config::DecoderNorm;
use rarefy::explain::{Setting, TermFormula};
use rarefy::io_spec::IoSpec;
use rarefy::objective::{AuxUnit, Rank, StepSchedule};
use rarefy::optim::descent::{Descent, Rule};
use rarefy::params::Params;
use rarefy::train::sparse::step::{Report, Step, StepSettings};
use rarefy::variants::Architecture;

pub const ROWS: usize = 40;
pub const D_IN: usize = 7;
pub const D_SAE: usize = 24;
/// Rows since each latent fired last.
const SILENT: u64 = 1000;

/// True if the values of a block scale with the rows.
pub fn grows(block: &str) -> bool {
    matches!(block, "b_enc" | "b_dec" | "b_mag" | "threshold")
}

/// Latent and value of each row's entries.
type Kept = Vec<Vec<(usize, f64)>>;

/// Rows and weights.
#[derive(Clone)]
pub struct Made {
    pub rows: Vec<f32>,
    pub params: Params,
}

impl Made {
    /// From sines and cosines; every sixth latent never fires, every third is shy.
    pub fn up(architecture: &Architecture) -> Self {
        let f = |i: usize| i as f32;
        let rows = (0..ROWS * D_IN).map(|t| 0.4 + (0.9 * f(t / D_IN + 2) * f(t % D_IN + 1)).sin());
        let rows = rows.collect();
        let mut params = Params::zeros(&architecture.layout(&IoSpec::autoencoder(D_IN), D_SAE));
        for (i, w) in params.values_mut().iter_mut().enumerate() {
            *w = 0.5 * (0.3 + 1.7 * f(i)).sin();
        }
        for (j, row) in params.get_mut("w_enc").chunks_exact_mut(D_IN).enumerate() {
            let size = if j % 3 == 2 { 0.05 } else { 1.0 };
            row.iter_mut().for_each(|w| *w *= size);
        }
        for (j, b) in params.get_mut("b_enc").iter_mut().enumerate() {
            *b = [0.4, 0.5, 0.01, 0.3, 0.2, -0.5][j % 6];
        }
        let Architecture::Sparse(sparse) = architecture else {
            panic!("a sparse architecture")
        };
        if sparse.pursues() {
            let w_dec = params.get("w_dec").to_vec();
            params.get_mut("w_enc").copy_from_slice(&w_dec);
            params.get_mut("b_enc").fill(0.0);
        }
        for (name, _) in sparse.per_latent() {
            let own = params.get_mut(name).iter_mut().enumerate();
            own.for_each(|(j, own)| *own = 0.12 + 0.07 * f(j).sin());
        }
        Self { rows, params }
    }

    /// Equivalent model for rows multiplied by `scale`.
    pub fn scaled(&self, scale: f32) -> Self {
        let mut scaled = self.clone();
        scaled.rows.iter_mut().for_each(|x| *x *= scale);
        let blocks = self.params.layout().blocks().iter();
        for block in blocks.filter(|block| grows(block.name)) {
            let values = scaled.params.get_mut(block.name).iter_mut();
            values.for_each(|v| *v *= scale);
        }
        scaled
    }

    /// Report of a training step, and the batch with its latents.
    pub fn step(&self, setting: &Setting) -> (Report, Batch) {
        let (report, codes, _, since_fired) = self.run(setting);
        let after = setting.sparse().unwrap().aux_k().dead_after();
        let dead = since_fired.iter().map(|since| *since >= after).collect();
        (report, Batch::new(self, setting, codes, dead))
    }

    /// The gradient of a training step, decoder rows free.
    pub fn gradient(&self, setting: &Setting) -> Params {
        self.run(setting).2
    }

    fn run(&self, setting: &Setting) -> (Report, Kept, Params, Vec<u64>) {
        let sparse = setting.sparse().unwrap();
        let mut step = Step::new(
            sparse,
            &IoSpec::autoencoder(D_IN),
            DecoderNorm::Free,
            &self.params,
        );
        let mut moved = self.params.clone();
        let mut descent = Descent::new(Rule::ADAM, moved.values());
        let mut since_fired = vec![SILENT; D_SAE];
        let settings = StepSettings {
            lr: 1e-3,
            clip: None,
            schedule: StepSchedule::default(),
        };
        let report = step.run(
            &mut moved,
            &mut descent,
            &mut since_fired,
            self.rows.as_slice().into(),
            &settings,
        );
        let codes = step.codes();
        let row = |ends: &[usize]| {
            let entries = codes.indices[ends[0]..ends[1]]
                .iter()
                .zip(&codes.values[ends[0]..ends[1]]);
            entries.map(|(j, f)| (*j as usize, f64::from(*f))).collect()
        };
        let kept = codes.offsets.windows(2).map(row).collect();
        (report, kept, step.gradient(&self.params), since_fired)
    }
}

/// A batch in plain numbers.
pub struct Batch {
    pub x: Vec<Vec<f64>>,
    /// All pre-activations.
    pub pre: Vec<Vec<f64>>,
    pub kept: Kept,
    pub w_dec: Vec<Vec<f64>>,
    pub b_dec: Vec<f64>,
    pub theta: Vec<f64>,
    pub dead: Vec<bool>,
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

fn matrix(values: &[f32]) -> Vec<Vec<f64>> {
    values.chunks_exact(D_IN).map(wide).collect()
}

pub fn square(a: &[f64]) -> f64 {
    a.iter().map(|a| a * a).sum()
}

pub fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

impl Batch {
    fn new(made: &Made, setting: &Setting, kept: Kept, dead: Vec<bool>) -> Self {
        let params = &made.params;
        let (x, w_enc) = (matrix(&made.rows), matrix(params.get("w_enc")));
        let (b_enc, b_dec) = (wide(params.get("b_enc")), wide(params.get("b_dec")));
        let pre = |row: &Vec<f64>| -> Vec<f64> {
            let centred = minus(row, &b_dec);
            let dot = |w: &Vec<f64>| w.iter().zip(&centred).map(|(w, x)| w * x).sum::<f64>();
            w_enc.iter().zip(&b_enc).map(|(w, b)| dot(w) + b).collect()
        };
        let own = setting.sparse().unwrap().per_latent();
        let learned = own.iter().any(|(name, _)| *name == "threshold");
        Self {
            pre: x.iter().map(pre).collect(),
            x,
            kept,
            w_dec: matrix(params.get("w_dec")),
            theta: if learned {
                wide(params.get("threshold"))
            } else {
                vec![0.0; D_SAE]
            },
            b_dec,
            dead,
        }
    }

    pub fn n(&self) -> f64 {
        self.x.len() as f64
    }

    pub fn norm(&self, latent: usize) -> f64 {
        square(&self.w_dec[latent]).sqrt()
    }

    /// `sum_j v_j w_j` over some entries below `end`.
    pub fn decode(&self, entries: &[(usize, f64)], end: usize) -> Vec<f64> {
        let mut out = vec![0.0; D_IN];
        for (j, value) in entries.iter().filter(|(j, _)| *j < end) {
            out.iter_mut()
                .zip(&self.w_dec[*j])
                .for_each(|(o, w)| *o += value * w);
        }
        out
    }

    /// Residual of row i after reconstruction with the latents below `end`.
    pub fn left(&self, i: usize, end: usize) -> Vec<f64> {
        minus(
            &minus(&self.x[i], &self.b_dec),
            &self.decode(&self.kept[i], end),
        )
    }

    pub fn l0(&self, i: usize) -> f64 {
        self.kept[i].iter().filter(|(_, f)| *f != 0.0).count() as f64
    }

    /// Mean over rows of something.
    pub fn mean(&self, of: impl Fn(usize) -> f64) -> f64 {
        (0..self.x.len()).map(of).sum::<f64>() / self.n()
    }

    /// Mean over rows of a sum over entries of f times its decoder row's length.
    pub fn lengths(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.mean(|i| {
            self.kept[i]
                .iter()
                .map(|(j, f)| of(f * self.norm(*j)))
                .sum()
        })
    }

    /// `max(0, pre)` of a row.
    pub fn gate(&self, i: usize) -> Vec<(usize, f64)> {
        self.pre[i]
            .iter()
            .map(|pre| pre.max(0.0))
            .enumerate()
            .collect()
    }

    /// The k entries of row i that are largest among the dead latents of a range, by some rank.
    pub fn helpers(
        &self,
        i: usize,
        k: usize,
        (start, end): (usize, usize),
        rank: Rank,
    ) -> Vec<(usize, f64)> {
        let size = |v: f64| if rank == Rank::Magnitude { v.abs() } else { v };
        let mut all: Vec<(usize, f64)> = (start..end)
            .filter(|j| self.dead[*j] && (rank != Rank::Positive || self.pre[i][*j] > 0.0))
            .map(|j| (j, self.pre[i][j]))
            .collect();
        all.sort_by(|a, b| size(b.1).total_cmp(&size(a.1)));
        all.truncate(k);
        all
    }

    /// `sum_i |r_i - mean r|^2` of what the latents below `end` leave over.
    pub fn spread(&self, end: usize) -> f64 {
        let left: Vec<Vec<f64>> = (0..self.x.len()).map(|i| self.left(i, end)).collect();
        spread(&left)
    }

    /// Value of a term, worked out from its name and numbers; `setting` says how dead latents are chosen.
    pub fn value(&self, term: &TermFormula, setting: &Setting) -> f64 {
        let number = |name: &str| {
            let number = term.number(name);
            number.unwrap_or_else(|| panic!("{} has no number {name}", term.name))
        };
        match term.name {
            "squares" => {
                let end = number("end") as usize;
                number("weight") * self.mean(|i| square(&self.left(i, end)))
            }
            "cosine" => {
                let end = number("end") as usize;
                number("weight") * self.mean(|i| self.error(setting, i, &self.left(i, end)))
            }
            "multi_topk" => {
                let of_row = |i: usize| {
                    let all: Vec<(usize, f64)> = self.kept[i]
                        .iter()
                        .map(|(j, _)| (*j, self.pre[i][*j]))
                        .collect();
                    let out = self.decode(&all, D_SAE);
                    let left = minus(&minus(&self.x[i], &self.b_dec), &out);
                    self.error(setting, i, &left)
                };
                number("weight") * self.mean(of_row)
            }
            "gate_reconstruction" => {
                let of_row = |i: usize| {
                    let out = self.decode(&self.gate(i), D_SAE);
                    let left = minus(&minus(&self.x[i], &self.b_dec), &out);
                    self.error(setting, i, &left)
                };
                number("weight") * self.mean(of_row)
            }
            "l1_norm" => {
                let p = number("p");
                let of_row = |i: usize| {
                    let u = self.kept[i]
                        .iter()
                        .map(|(j, f)| (f * self.norm(*j)).powf(p));
                    let sum: f64 = u.sum();
                    if number("root") == 1.0 {
                        sum.powf(1.0 / p)
                    } else {
                        sum
                    }
                };
                number("weight") * self.mean(of_row)
            }
            "gate_l1" => {
                let paid = |i: usize| self.gate(i).iter().map(|(j, pi)| pi * self.norm(*j)).sum();
                number("weight") * self.mean(paid)
            }
            "l0_step" => number("weight") * self.mean(|i| self.l0(i)),
            "tanh_l0" => number("weight") * self.lengths(|u| (number("scale") * u).tanh()),
            "l0_quadratic" => {
                let target = number("target");
                let off = |i: usize| 2.0 / target * (self.l0(i) - target).powi(2);
                number("weight") * self.mean(off)
            }
            "l0_target" => {
                let off = self.mean(|i| self.l0(i)) / number("target") - 1.0;
                number("weight") * off.powi(2)
            }
            "pre_activation" => number("weight") * self.lift(),
            "frequency" => {
                let on = |j: usize| {
                    self.kept
                        .iter()
                        .flatten()
                        .filter(move |(l, f)| *l == j && *f != 0.0)
                };
                let squares = (0..D_SAE).map(|j| (on(j).count() as f64 / self.n()).powi(2));
                number("weight") * squares.sum::<f64>() / number("scale")
            }
            // Chunks are drawn by the term, so only a chunk of all latents can be worked out here.
            "orthogonality" if number("chunk") < D_SAE as f64 => f64::NAN,
            "orthogonality" => {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                let cos = |j: usize, k: usize| {
                    dot(&self.w_dec[j], &self.w_dec[k]) / (self.norm(j) * self.norm(k))
                };
                let largest = |j: usize| {
                    let others = (0..D_SAE).filter(move |k| *k != j);
                    others.map(|k| cos(j, k)).fold(f64::MIN, f64::max)
                };
                let squares = (0..D_SAE).map(|j| largest(j).powi(2));
                number("weight") * squares.sum::<f64>() / D_SAE as f64
            }
            "aux_k" => self.aux_k(term, setting),
            other => panic!("{other} is none of a sparse architecture"),
        }
    }

    /// `1/m sum_i sum_(j dead) max(0, theta_j - pre_ij) |w_j|`.
    pub fn lift(&self) -> f64 {
        let below = |i: usize, j: usize| (self.theta[j] - self.pre[i][j]).max(0.0) * self.norm(j);
        self.mean(|i| {
            (0..D_SAE)
                .filter(|j| self.dead[*j])
                .map(|j| below(i, j))
                .sum()
        })
    }

    /// Error of row i from its residual `x - x_hat`.
    fn error(&self, setting: &Setting, i: usize, left: &[f64]) -> f64 {
        if setting.sparse().unwrap().error().is_squared() {
            return square(left);
        }
        let x_hat = minus(&self.x[i], left);
        let product: f64 = x_hat.iter().zip(&self.x[i]).map(|(a, b)| a * b).sum();
        1.0 - product / (square(&x_hat) * square(&self.x[i])).sqrt()
    }

    fn aux_k(&self, term: &TermFormula, setting: &Setting) -> f64 {
        let aux = *setting.sparse().unwrap().aux_k();
        let start = term.number("start").map_or(0, |start| start as usize);
        let end = term.number("end").map_or(D_SAE, |end| end as usize);
        let k = term.number("k").unwrap() as usize;
        let dead = self.dead[start..end].iter().filter(|dead| **dead).count();
        if dead == 0 {
            return 0.0;
        }
        let error = self.mean(|i| {
            let helped = self.decode(&self.helpers(i, k, (start, end), aux.rank), D_SAE);
            square(&minus(&self.left(i, end), &helped))
        });
        term.number("coefficient").unwrap()
            * match aux.unit {
                AuxUnit::Residual => error * self.n() / self.spread(end),
                AuxUnit::Absolute => error * (dead as f64 / k as f64).min(1.0),
            }
    }
}

/// `sum_i |r_i - mean r|^2`.
pub fn spread(rows: &[Vec<f64>]) -> f64 {
    let n = rows.len() as f64;
    let mean: Vec<f64> = (0..D_IN)
        .map(|t| rows.iter().map(|row| row[t]).sum::<f64>() / n)
        .collect();
    rows.iter().map(|row| square(&minus(row, &mean))).sum()
}

/// Rows of numbers between 0 and 1.
pub fn unit_rows() -> Vec<f32> {
    let f = |i: usize| i as f32;
    (0..ROWS * D_IN)
        .map(|t| 0.5 + 0.4 * (1.1 * f(t) + 0.3 * f(t / D_IN)).sin())
        .collect()
}

/// The lecture's model in plain numbers.
pub struct Lecture {
    x: Vec<Vec<f64>>,
    h: Vec<Vec<f64>>,
    x_hat: Vec<Vec<f64>>,
    /// Sums of squared weights: the encoder's, and the decoder's.
    squares: [f64; 2],
}

impl Lecture {
    pub fn new(x: &[f32], params: &Params, setting: &Setting) -> Self {
        let sigma = |z: f64| 1.0 / (1.0 + (-z).exp());
        let (x, w_enc) = (matrix(x), matrix(params.get("w_enc")));
        let (b_enc, b_dec) = (wide(params.get("b_enc")), wide(params.get("b_dec")));
        let tied = setting.options.flag("tied");
        let w_dec = if tied {
            w_enc.clone()
        } else {
            matrix(params.get("w_dec"))
        };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let hidden = |x: &Vec<f64>| -> Vec<f64> {
            w_enc
                .iter()
                .zip(&b_enc)
                .map(|(w, b)| sigma(dot(w, x) + b))
                .collect()
        };
        let h: Vec<Vec<f64>> = x.iter().map(hidden).collect();
        let linear = setting.options.text("decoder") == "linear";
        let out = |h: &Vec<f64>| -> Vec<f64> {
            let r = (0..D_IN)
                .map(|t| b_dec[t] + h.iter().zip(&w_dec).map(|(h, w)| h * w[t]).sum::<f64>());
            r.map(|r| if linear { r } else { sigma(r) }).collect()
        };
        let squares = [&w_enc, &w_dec].map(|w| w.iter().map(|row| square(row)).sum());
        Self {
            x_hat: h.iter().map(out).collect(),
            squares,
            x,
            h,
        }
    }

    pub fn value(&self, term: &TermFormula) -> f64 {
        let n = self.x.len() as f64;
        let rows = || self.x.iter().zip(&self.x_hat);
        let number = |name: &str| term.number(name).unwrap();
        match term.name {
            "half_squares" => rows().map(|(x, y)| square(&minus(x, y)) / 2.0).sum::<f64>() / n,
            "cross_entropy" => {
                let entropy = |(x, y): (&f64, &f64)| -x * y.ln() - (1.0 - x) * (1.0 - y).ln();
                rows()
                    .map(|(x, y)| x.iter().zip(y).map(entropy).sum::<f64>())
                    .sum::<f64>()
                    / n
            }
            "kl" => {
                let rho = number("rho");
                let mean = |l: usize| self.h.iter().map(|h| h[l]).sum::<f64>() / n;
                let kl =
                    |m: f64| rho * (rho / m).ln() + (1.0 - rho) * ((1.0 - rho) / (1.0 - m)).ln();
                number("beta") * (0..self.h[0].len()).map(|l| kl(mean(l))).sum::<f64>()
            }
            "weight_decay" => {
                let matrices = number("matrices") as usize;
                number("weight") / 2.0 * self.squares[..matrices].iter().sum::<f64>()
            }
            other => panic!("{other} is none of the lecture's"),
        }
    }
}
