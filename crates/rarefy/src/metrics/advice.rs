//! Causes of a bad result, from the evaluation of the model and the settings of the run.

mod causes;
mod faults;
#[cfg(test)]
mod tests;

use super::{Evaluation, GAP};
use crate::data::Survey;
use crate::plan::Plan;
use crate::variants::Architecture;

use causes::{
    any, few_steps, high_lr, hopeless_penalty, kl_penalty, large_beta, larger_rho, odd_scale,
    penalty, saturated, slow_optimizer, small_k, small_penalty, threshold_above_rows,
    weak_kl_penalty, weak_l0_penalty, weak_penalty, weight_decay,
};
use faults::{
    collapsed, dead, dense, faint, off_l0, off_target, partly_collapsed, worse_than_mean,
};

/// Share of the latents from which on dead or collapsed latents are reported.
const MOST: f64 = 0.9;

/// Result and settings of a run.
struct Run<'a> {
    plan: &'a Plan,
    survey: &'a Survey,
    result: &'a Evaluation,
}

/// A bad result: a test with its description, and possible causes in the order in which they are considered.
struct Fault {
    seen: fn(&Run) -> Option<String>,
    causes: &'static [fn(&Run) -> Option<String>],
}

/// Faults with their causes; the first fault that is seen is reported, with its first cause.
const FAULTS: &[Fault] = &[
    Fault {
        seen: dead,
        causes: &[
            threshold_above_rows,
            hopeless_penalty,
            high_lr,
            penalty,
            small_k,
            weak_kl_penalty,
        ],
    },
    Fault {
        seen: collapsed,
        causes: &[weight_decay, kl_penalty],
    },
    Fault {
        seen: worse_than_mean,
        causes: &[
            hopeless_penalty,
            high_lr,
            large_beta,
            odd_scale,
            few_steps,
            any,
        ],
    },
    Fault {
        seen: off_l0,
        causes: &[weak_l0_penalty],
    },
    Fault {
        seen: dense,
        causes: &[small_penalty],
    },
    Fault {
        seen: off_target,
        causes: &[saturated, weak_penalty],
    },
    Fault {
        seen: partly_collapsed,
        causes: &[kl_penalty],
    },
    Fault {
        seen: faint,
        causes: &[slow_optimizer, larger_rho],
    },
];

/// Warning about held-out rows that the model explains much worse than the rows that it was trained on, with the fields of
/// the configuration to change; `None` if they are alike.
#[doc(hidden)]
pub fn gap(plan: &Plan, training: &Evaluation, held_out: &Evaluation) -> Option<String> {
    let (seen, unseen) = (training.explained_variance, held_out.explained_variance);
    // A model that is worse than the mean of its own rows has learned nothing by heart.
    if seen < 0.0 || seen - unseen < GAP {
        return None;
    }
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let mask = match plan.architecture() {
        Architecture::Sparse(sparse) if plan.mask() == 0.0 && !sparse.pursues() => {
            "`train.mask` to 0.2, "
        }
        _ => "",
    };
    Some(format!(
        "the model explains {} of the variance of held-out rows and {} of the rows that it was trained on: {} rows are few for \
         {} latents; set {mask}`model.latents` to fewer, `train.steps` to fewer, or train on more rows",
        percent(unseen),
        percent(seen),
        training.rows,
        plan.d_sae(),
    ))
}

/// Warning about a bad result of a run: the fault, its likely cause, and the field of the configuration to change.
/// `None` if the result is not bad.
///
/// Bad results are: 90 % of the latents dead or collapsed, or a negative explained variance. `survey` is that of the
/// preprocessed training rows.
#[doc(hidden)]
pub fn advice(plan: &Plan, survey: &Survey, result: &Evaluation) -> Option<String> {
    let run = Run {
        plan,
        survey,
        result,
    };
    let seen = |fault: &Fault| Some((fault.causes, (fault.seen)(&run)?));
    let (causes, seen) = FAULTS.iter().find_map(seen)?;
    let cause = causes.iter().find_map(|cause| cause(&run));
    Some(format!("{seen}: {}", cause.or_else(|| any(&run))?))
}

impl Run<'_> {
    /// Value of an option as text, if the architecture has the option.
    fn option(&self, name: &str) -> Option<&str> {
        self.plan.options().find(name)
    }

    /// Root mean square of the values of a row.
    fn scale(&self) -> f64 {
        (self.row_length().powi(2) / self.survey.d_in as f64).sqrt()
    }

    /// Root mean square of the lengths of the rows.
    fn row_length(&self) -> f64 {
        let means = self.survey.mean.iter().map(|mean| mean * mean);
        let squares: f64 = means.chain(self.survey.variance.iter().copied()).sum();
        squares.sqrt()
    }

    /// Number of latents with a count, if these are most of them.
    fn most(&self, count: usize) -> Option<String> {
        let all = self.plan.d_sae();
        let most = count > 0 && count as f64 >= MOST * all as f64;
        most.then(|| format!("{count} of {all} latents"))
    }
}

/// Number with two significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".into();
    }
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = (1.0 - size.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}
