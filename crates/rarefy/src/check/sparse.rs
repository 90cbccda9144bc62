//! Gradient checks of the sparse architectures: options, dead latents, decoder norms and layouts (autoencoder,
//! transcoder, crosscoder).

use std::sync::Arc;

use rand::{RngExt, SeedableRng};

use super::twin::{self, Problem};
use super::{Check, central_differences, norm, wide};
use crate::config::DecoderNorm;
use crate::io_spec::IoSpec;
use crate::objective::{Objective, StepSchedule};
use crate::optim::Descent;
use crate::optim::descent::Rule;
use crate::params::Params;
use crate::train::sparse::step::{Step, StepRows, StepSettings};
use crate::variants::{Architecture, Info, Options};
use crate::{Result, Rng};

const ROWS: usize = 40;
const D_IN: usize = 7;
const D_TARGET: usize = 5;
const D_SAE: usize = 24;
/// Rows since each latent fired last: latents silent now are dead, or none is, depending on `dead_after`.
const SILENT: u64 = 1000;
/// Directions along which the twin's gradient is held against central differences.
const DIRECTIONS: usize = 40;

/// Settings of the auxiliary loss: name and options.
const AUX: [(&str, [(&str, &str); 3]); 3] = [
    (
        "no dead latents",
        [
            ("aux_k", "3"),
            ("aux_coefficient", "0.03125"),
            ("dead_after", "10000"),
        ],
    ),
    (
        "auxiliary loss",
        [
            ("aux_k", "2"),
            ("aux_coefficient", "0.03125"),
            ("dead_after", "1000"),
        ],
    ),
    (
        "large auxiliary loss",
        [
            ("aux_k", "5"),
            ("aux_coefficient", "4"),
            ("dead_after", "1000"),
        ],
    ),
];

/// Checks an architecture of the sparse engine.
pub(super) fn gradients(info: &Info) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for (at, own) in info.checked_settings().iter().enumerate() {
        for (aux, options) in &AUX {
            let given = own
                .iter()
                .chain(options)
                .map(|(k, v)| (*k, (*v).to_owned()));
            let options = Options::check(info.options(), given)?;
            let architecture = info.build(&options)?;
            let own: Vec<String> = own.iter().map(|(k, v)| format!("{k} {v}")).collect();
            let own = own.join(", ");
            let autoencoder = IoSpec::autoencoder(D_IN);
            let mut norms = vec![DecoderNorm::Free, DecoderNorm::Unit];
            let large = *aux == "large auxiliary loss";
            if large && !pursues(&architecture) {
                norms.push(DecoderNorm::Rescale);
            }
            for norm in norms {
                let name = format!("{own}, {aux}, decoder norm {}", norm.name());
                checks.push(check(name, &architecture, (&autoencoder, false), norm));
            }
            if !large {
                continue;
            }
            // A pursuit has no mask.
            if !pursues(&architecture) {
                let (name, norm) = (format!("{own}, {aux}, masked"), DecoderNorm::Free);
                checks.push(check(name, &architecture, (&autoencoder, true), norm));
            }
            // All layouts with the first settings; one layout in turn with each of the others.
            let all = io_specs(&architecture)?;
            let some = if at == 0 {
                0..all.len()
            } else {
                at % all.len()..at % all.len() + 1
            };
            let rescaled = at == 0 && !pursues(&architecture);
            let norms = [DecoderNorm::Free, DecoderNorm::Rescale];
            let norms = &norms[..=usize::from(rescaled)];
            for (io, norm) in all[some]
                .iter()
                .flat_map(|b| norms.iter().map(move |n| (b, *n)))
            {
                let off = if io.centre { "" } else { ", not centred" };
                let (bound, norm_name) = (io.name(), norm.name());
                let name = format!("{own}, {aux}, {bound}{off}, decoder norm {norm_name}");
                checks.push(check(name, &architecture, (io, false), norm));
            }
        }
    }
    Ok(checks)
}

/// Layouts of input and output columns that an architecture supports, besides the usual autoencoder.
fn io_specs(architecture: &Architecture) -> Result<Vec<IoSpec>> {
    let cross = IoSpec::new(&[D_IN - 3, 3], None)?;
    let centred = cross.clone().with_centre(true);
    if pursues(architecture) {
        return Ok(vec![centred]);
    }
    let uncentred = IoSpec::autoencoder(D_IN).with_centre(false);
    let transcoder = IoSpec::new(&[D_IN], Some(D_TARGET))?;
    let skip = transcoder.clone().with_skip(true);
    Ok(vec![uncentred, cross, centred, transcoder, skip])
}

fn pursues(architecture: &Architecture) -> bool {
    matches!(architecture, Architecture::Sparse(sparse) if sparse.pursues())
}

fn check(
    name: String,
    architecture: &Architecture,
    (io, masked): (&IoSpec, bool),
    norm: DecoderNorm,
) -> Check {
    let Architecture::Sparse(sparse) = architecture else {
        unreachable!("options do not change the engine")
    };
    let bound = (sparse, io);
    let (rows, params) = made_up(architecture, io, norm);
    let hide = |(at, x): (usize, &f32)| if at % 5 == 0 { 0.4 } else { 1.25 * x };
    let seen = if masked {
        rows.iter().enumerate().map(hide).collect()
    } else {
        rows.clone()
    };
    let rows = StepRows {
        seen: &seen,
        whole: &rows,
    };
    let wide_rows = [rows.seen, rows.whole].map(wide);
    let problem = Problem::new(
        (sparse, io),
        &params,
        [&wide_rows[0], &wide_rows[1]],
        SILENT,
        norm == DecoderNorm::Rescale,
    );
    let mut exact = problem.gradient();
    let smooth = smooth(sparse, &params, norm);
    let directions = directions(&smooth);
    let along = |direction: &Vec<f64>| direction.iter().zip(&exact).map(|(v, g)| v * g).sum();
    let slopes: Vec<f64> = directions.iter().map(along).collect();
    let values = twin::wide(&params);
    let twin_error = central_differences(&slopes, |which, by| {
        let mut moved = values.clone();
        let steps = moved.iter_mut().zip(&directions[which]);
        steps.for_each(|(value, v)| value.value += by * v);
        problem.value(&moved).total().value
    });
    // With pseudo-derivatives only, differences check nothing; the comparison of step and twin remains.
    let twin_error = if directions.is_empty() {
        0.0
    } else {
        twin_error
    };
    if norm == DecoderNorm::Unit {
        project(&mut exact, io, &params);
    }
    let fast_error = against_training(bound, norm, rows, &params, &problem, &exact);
    Check::new(name, twin_error, fast_error)
}

/// Random directions of length 1 over the parameters of the mask; none for an empty mask.
///
/// Every parameter is a part of every direction, so an error of one parameter's derivative is as large, relative to the
/// gradient, as it is over the single parameters, for a tenth of their evaluations.
fn directions(mask: &[bool]) -> Vec<Vec<f64>> {
    let count = mask.iter().filter(|is| **is).count();
    let mut rng = Rng::seed_from_u64(7);
    let each = 1.0 / (count as f64).sqrt();
    let mut sign = |is: &bool| match (is, rng.random::<bool>()) {
        (false, _) => 0.0,
        (true, false) => -each,
        (true, true) => each,
    };
    let number = DIRECTIONS.min(count);
    (0..number)
        .map(|_| mask.iter().map(&mut sign).collect())
        .collect()
}

/// Mask of the parameters without pseudo-derivatives; central differences can check these.
///
/// With `rescale`, the length of a decoder row acts on the encoder, so `w_dec` counts as an encoder weight.
fn smooth(sparse: &Objective, params: &Params, norm: DecoderNorm) -> Vec<bool> {
    let pseudo = |name: &str| sparse.pseudo_blocks().contains(&name);
    let encodes = |name: &str| norm == DecoderNorm::Rescale && name == "w_dec";
    let blocks = params.layout().blocks().iter();
    let of = blocks.map(|b| {
        let is = pseudo(b.name) || encodes(b.name) && pseudo("w_enc");
        vec![!is; b.rows * b.cols]
    });
    of.flatten().collect()
}

/// Largest relative error of a training step's gradient and loss values against the twin's.
///
/// The error is infinite if the numbers of active or dead latents differ.
fn against_training(
    (sparse, io): (&Arc<Objective>, &IoSpec),
    decoder_norm: DecoderNorm,
    rows: StepRows,
    params: &Params,
    problem: &Problem,
    exact: &[f64],
) -> f64 {
    let mut step = Step::new(sparse, io, decoder_norm, params);
    let mut moved = params.clone();
    let mut descent = Descent::new(Rule::ADAM, params.values());
    let settings = StepSettings {
        lr: 1e-3,
        clip: None,
        schedule: StepSchedule::default(),
    };
    let mut since_fired = [SILENT; D_SAE];
    let report = step.run(&mut moved, &mut descent, &mut since_fired, rows, &settings);
    let dead = problem.dead.iter().filter(|dead| **dead).count();
    if report.dead != dead || report.l0 != problem.active() as f64 / ROWS as f64 {
        return f64::INFINITY;
    }
    let fast = wide(step.gradient(params).values());
    let apart = fast.iter().zip(exact).map(|(a, b)| a - b);
    let value = problem.value(&twin::wide(params));
    let relative = |got: f64, expected: f64| (got - expected).abs() / expected.max(1e-12);
    [
        norm(apart) / norm(exact.iter().copied()),
        relative(report.gradient_norm, norm(exact.iter().copied())),
        relative(report.reconstruction, value.reconstruction.value),
        relative(report.penalty, value.penalty.value),
        relative(report.auxiliary, value.auxiliary.value),
    ]
    .into_iter()
    .fold(0.0, f64::max)
}

/// Removes from each decoder row's gradient the part along the row.
///
/// To first order, a step along the row changes the length alone, and the length is reset to 1 after the step.
fn project(gradient: &mut [f64], io: &IoSpec, params: &Params) {
    let (start, width) = (D_SAE * io.d_in() + D_SAE, io.d_out());
    let of_decoder = gradient[start..start + D_SAE * width].chunks_exact_mut(width);
    for (g, w) in of_decoder.zip(params.get("w_dec").chunks_exact(width)) {
        let w = wide(w);
        let along: f64 = w.iter().zip(&*g).map(|(w, g)| w * g).sum();
        let length: f64 = w.iter().map(|w| w * w).sum();
        g.iter_mut()
            .zip(&w)
            .for_each(|(g, w)| *g -= along / length * w);
    }
}

/// Rows and parameters from sines and cosines, with decoder rows of length 1 for `unit`.
///
/// Every third latent is positive on some rows but never among the largest; every sixth is silent.
fn made_up(architecture: &Architecture, io: &IoSpec, norm: DecoderNorm) -> (Vec<f32>, Params) {
    let wide = io.row_width();
    let f = |i: usize| i as f32;
    let rows = (0..ROWS * wide)
        .map(|t| 0.5 + (0.7 * f(t / wide + 1) * f(t % wide + 1)).sin())
        .collect();
    let mut params = Params::zeros(&architecture.layout(io, D_SAE));
    for (i, w) in params.values_mut().iter_mut().enumerate() {
        *w = 0.6 * (1.0 + 1.3 * f(i)).cos();
    }
    for (j, row) in params.get_mut("w_enc").chunks_exact_mut(D_IN).enumerate() {
        let size = if j % 3 == 2 { 0.02 } else { 1.0 };
        row.iter_mut().for_each(|w| *w *= size);
    }
    for (j, b) in params.get_mut("b_enc").iter_mut().enumerate() {
        *b = match j % 6 {
            2 => 0.001,
            5 => -0.3,
            _ => 0.5,
        };
    }
    for row in params
        .get_mut("w_dec")
        .chunks_exact_mut(io.d_out())
        .filter(|_| norm == DecoderNorm::Unit)
    {
        let length = row.iter().map(|w| w * w).sum::<f32>().sqrt();
        row.iter_mut().for_each(|w| *w /= length);
    }
    if let Architecture::Sparse(sparse) = architecture {
        if sparse.pursues() {
            let w_dec = params.get("w_dec").to_vec();
            params.get_mut("w_enc").copy_from_slice(&w_dec);
            params.get_mut("b_enc").fill(0.0);
        }
        for (kind, (name, _)) in sparse.per_latent().iter().enumerate() {
            for (j, own) in params.get_mut(name).iter_mut().enumerate() {
                *own = 0.1 + 0.05 * (f(j) + f(kind)).sin();
            }
        }
    }
    (rows, params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants;

    /// Every sparse architecture under every setting that changes its gradient.
    #[test]
    fn gradients_of_every_sparse_architecture_pass() {
        for info in variants::VARIANTS {
            let options = Options::check(info.options(), []).unwrap();
            if let Architecture::Sparse(_) = info.build(&options).unwrap() {
                let checks = gradients(info).unwrap();
                assert!(checks.len() >= 12, "{}: {} checks", info.name, checks.len());
                let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
                assert!(failed.is_empty(), "{}: {failed:#?}", info.name);
            }
        }
    }

    /// Settings named after dead latents have some, all other settings have none.
    #[test]
    fn dead_latents_exist_only_with_a_short_dead_after() {
        let info = variants::find("topk").unwrap();
        for (dead_after, some) in [("1000", true), ("10000", false)] {
            let given = [("k", "3"), ("aux_k", "2"), ("dead_after", dead_after)];
            let given = given.map(|(key, value)| (key, value.to_owned()));
            let options = Options::check(info.options(), given).unwrap();
            let architecture = info.build(&options).unwrap();
            let Architecture::Sparse(sparse) = &architecture else {
                panic!("topk is sparse")
            };
            let io = IoSpec::autoencoder(D_IN);
            let (rows, params) = made_up(&architecture, &io, DecoderNorm::Free);
            let x = wide(&rows);
            let problem = Problem::new((sparse, &io), &params, [&x, &x], SILENT, false);
            let value = problem.value(&twin::wide(&params));
            let dead = problem.dead.iter().filter(|dead| **dead).count();
            assert_eq!((dead > 3, value.auxiliary.value > 0.0), (some, some));
            assert!(problem.kept.iter().any(|row| row.len() == 3));
        }
    }
}
