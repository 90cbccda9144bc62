//! Causes of a bad result, from the evaluation of the model and the settings of the run.

use super::{Evaluation, GAP};
use crate::config::OptimizerKind;
use crate::data::Survey;
use crate::plan::Plan;
use crate::variants::Architecture;

/// Share of the latents from which on dead or collapsed latents are reported.
const MOST: f64 = 0.9;

/// Multiple of the default learning rate that is named as a cause.
const HIGH_LR: f64 = 10.0;

/// Root mean squares of the rows outside of which their scale is named as a cause.
const USUAL_SCALE: std::ops::RangeInclusive<f64> = 0.03..=30.0;

/// Weight of the KL penalty above which it is named as a cause; usual weights are 0.1 to 10.
const HEAVY: f64 = 100.0;

/// Steps below which the length of a run is named as a cause.
const FEW_STEPS: usize = 500;

/// Weight decays above this share of the variance of the latents times that of the rows keep the weights at 0.
const COLLAPSE: f64 = 0.1;

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
        causes: &[hopeless_penalty, high_lr, odd_scale, few_steps, any],
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

fn dead(run: &Run) -> Option<String> {
    let latents = run.most(run.result.dead_latents)?;
    Some(format!("{latents} are dead"))
}

fn collapsed(run: &Run) -> Option<String> {
    let latents = run.most(run.result.collapsed_latents?)?;
    Some(format!("{latents} are collapsed to constants"))
}

fn worse_than_mean(run: &Run) -> Option<String> {
    let bad = run.result.explained_variance < 0.0 || run.result.explained_variance.is_nan();
    bad.then(|| {
        "explained variance is negative, so the model is worse than predicting the mean".to_owned()
    })
}

/// A row of length L gives a pre-activation of at most L with an encoder row of length 1.
fn threshold_above_rows(run: &Run) -> Option<String> {
    let (threshold, length) = (
        run.plan.options().find_number("threshold")?,
        run.row_length(),
    );
    (threshold > length).then(|| {
        format!(
            "the threshold is too large: `model.options.threshold = {threshold}` is above the mean length of a row, \
             {length:.3}; decrease it"
        )
    })
}

/// A latent with a decoder row of length 1 reduces the squared error of a row of length L by at most `L^2`, and by at
/// most `2 L` for each unit of its value.
fn hopeless_penalty(run: &Run) -> Option<String> {
    let length = run.row_length();
    let limits = [("l1", 2.0 * length), ("l0", length * length)];
    let options = run.plan.options();
    let (name, limit) = limits.into_iter().find(|(name, limit)| {
        options
            .find_number(name)
            .is_some_and(|weight| weight > *limit)
    })?;
    Some(format!(
        "the sparsity penalty is too large: `model.options.{name}` is {}, and above {} a latent costs more \
         than it can reduce the error; decrease it",
        options.text(name),
        short(limit)
    ))
}

/// Number with two significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = (1.0 - size.log10().floor()).max(0.0) as usize;
    format!("{value:.decimals$}")
}

fn high_lr(run: &Run) -> Option<String> {
    let plan = run.plan;
    let usual = plan.default_lr();
    let times = plan.lr() / usual;
    (plan.optimizer() != OptimizerKind::Lbfgs && times >= HIGH_LR).then(|| {
        format!(
            "the learning rate is too high: `train.lr = {}` is {times:.0} times the default of {}; decrease it",
            plan.lr(),
            short(usual)
        )
    })
}

fn penalty(run: &Run) -> Option<String> {
    let name = ["l1", "l0"]
        .into_iter()
        .find(|name| run.option(name).is_some())?;
    let value = run.option(name)?;
    Some(format!(
        "the sparsity penalty is too large; decrease `model.options.{name}`, which is {value}"
    ))
}

fn small_k(run: &Run) -> Option<String> {
    let (k, all) = (run.option("k")?, run.plan.d_sae());
    Some(format!(
        "k is too small for the number of latents; increase `model.options.k`, which is {k}, decrease `model.latents`, \
         which is {all}, or resample dead latents with `train.resample_every`"
    ))
}

/// Dead latents of `kl` stay below half of rho, where the penalty should raise them.
fn weak_kl_penalty(run: &Run) -> Option<String> {
    let (beta, rho) = (run.option("beta")?, run.option("rho")?);
    Some(format!(
        "the penalty does not hold their mean activation near rho; increase `model.options.beta`, which is {beta}, or \
         change `model.options.rho`, which is {rho}"
    ))
}

/// With weights near 0, the reconstruction gains at most `rho (1 - rho) variance` for each unit of weight decay.
fn weight_decay(run: &Run) -> Option<String> {
    let options = run.plan.options();
    let (decay, rho) = (
        options.find_number("weight_decay")?,
        options.find_number("rho")?,
    );
    let most = COLLAPSE * rho * (1.0 - rho) * run.plan.variance();
    (decay > most).then(|| {
        format!(
            "the weight decay is too large and keeps the weights near 0; decrease `model.options.weight_decay`, which \
             is {decay}, below {}",
            short(most)
        )
    })
}

fn kl_penalty(run: &Run) -> Option<String> {
    let (beta, decay) = (run.option("beta")?, run.option("weight_decay")?);
    let rho = run.option("rho")?;
    let is_heavy = run
        .plan
        .options()
        .find_number("beta")
        .is_some_and(|beta| beta > HEAVY);
    let cause = if is_heavy || run.plan.options().find_number("weight_decay") == Some(0.0) {
        format!("the sparsity penalty is too large; decrease `model.options.beta`, which is {beta}")
    } else {
        format!(
            "constant latents cost less than weights that reconstruct; decrease `model.options.weight_decay`, which is {decay}"
        )
    };
    Some(format!(
        "{cause}, or increase `model.options.rho`, which is {rho}"
    ))
}

fn odd_scale(run: &Run) -> Option<String> {
    let scale = run.scale();
    let size = if scale < *USUAL_SCALE.start() {
        "small"
    } else {
        "large"
    };
    (!USUAL_SCALE.contains(&scale)).then(|| {
        format!(
            "the values are {size}, with a root mean square of {}; set the step scale or standardise in \
             `data.preprocess`",
            short(scale)
        )
    })
}

fn few_steps(run: &Run) -> Option<String> {
    let steps = run.plan.steps();
    let sparse = matches!(run.plan.architecture(), Architecture::Sparse(_));
    (sparse && steps < FEW_STEPS)
        .then(|| format!("{steps} steps are few; increase `train.steps` or `train.epochs`"))
}

#[expect(clippy::unnecessary_wraps, reason = "an entry of the table of causes")]
fn any(_: &Run) -> Option<String> {
    Some("increase `train.steps`, change `train.lr`, or set the step standardise in `data.preprocess`".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// Evaluation with these counts out of 10 latents.
    fn result(dead: usize, collapsed: Option<usize>, explained: f64) -> Evaluation {
        Evaluation {
            rows: 100,
            mse: 1.0,
            explained_variance: explained,
            explained_variance_by_input: Vec::new(),
            l0: 1.0,
            lifetime_sparsity: 0.0,
            population_sparsity: 0.0,
            dead_latents: dead,
            dead_fraction: dead as f64 / 10.0,
            always_on_latents: 0,
            rare_latents: None,
            frequent_latents: None,
            collapsed_latents: collapsed,
            loss: 1.0,
            reconstruction: 1.0,
            penalty: None,
            weight_decay: None,
            kl: None,
            latents: Vec::new(),
            activation_histogram: Vec::new(),
            population_histogram: Vec::new(),
        }
    }

    fn run(text: &str, variance: f64) -> (Plan, Survey) {
        let survey = Survey {
            rows: 1000,
            d_in: 4,
            min: -1.0,
            max: 1.0,
            mean: vec![0.0; 4],
            variance: vec![variance; 4],
        };
        let text = format!("[model]\nlatents = 10\n{text}");
        let config = config::merge(&[text.parse().unwrap()]).unwrap();
        (Plan::new(&config, &survey).unwrap(), survey)
    }

    fn of(text: &str, variance: f64, result: &Evaluation) -> Option<String> {
        let (plan, survey) = run(text, variance);
        advice(&plan, &survey, result)
    }

    /// A mask is advised where the architecture has one and the run had none.
    #[test]
    fn gap_names_settings_that_the_run_may_change() {
        for (text, masks) in [
            ("arch = 'topk'", true),
            ("arch = 'topk'\n[train]\nmask = 0.1", false),
            ("arch = 'matching-pursuit'", false),
            ("arch = 'kl'", false),
        ] {
            let (plan, _) = run(text, 1.0);
            let (training, held_out) = (result(0, None, 0.9), result(0, None, 0.8));
            let told = gap(&plan, &training, &held_out).expect(text);
            assert_eq!(told.contains("`train.mask`"), masks, "{text}: {told}");
            assert!(told.contains("`model.latents` to fewer"), "{told}");
            assert_eq!(gap(&plan, &training, &training), None);
        }
    }

    #[test]
    fn each_cause_is_named_with_its_field() {
        let (dead, bad) = (result(10, None, 0.0), result(0, None, -1.0));
        let collapsed = result(0, Some(10), 0.0);
        for (text, variance, result, expected) in [
            (
                "arch = 'relu'\noptions = { l1 = 1e6 }",
                1.0,
                &dead,
                "10 of 10 latents are dead: the sparsity penalty is too large: `model.options.l1` is 1000000.0, and above 4.0",
            ),
            (
                "arch = 'gated'\noptions = { l1 = 3 }",
                1.0,
                &dead,
                "decrease `model.options.l1`, which is 3",
            ),
            (
                "arch = 'jumprelu'\noptions = { l0 = 3 }",
                1.0,
                &dead,
                "decrease `model.options.l0`, which is 3",
            ),
            (
                "arch = 'jumprelu'\noptions = { threshold = 3 }",
                1.0,
                &dead,
                "`model.options.threshold = 3` is above the mean length of a row, 2.000",
            ),
            (
                "arch = 'topk'\noptions = { k = 1 }",
                1.0,
                &dead,
                "increase `model.options.k`, which is 1, decrease `model.latents`",
            ),
            (
                "arch = 'topk'\noptions = { k = 1 }\n[train]\nlr = 5",
                1.0,
                &dead,
                "latents are dead: the learning rate is too high: `train.lr = 5`",
            ),
            ("arch = 'kl'", 1.0, &dead, "increase `model.options.beta`"),
            (
                "arch = 'kl'\noptions = { weight_decay = 0.1, rho = 0.01 }",
                1.0,
                &collapsed,
                "10 of 10 latents are collapsed to constants: the weight decay is too large",
            ),
            (
                "arch = 'kl'\noptions = { weight_decay = 1e-5, beta = 1000 }",
                1.0,
                &collapsed,
                "decrease `model.options.beta`, which is 1000",
            ),
            (
                "arch = 'relu'\n[train]\nlr = 5",
                1.0,
                &bad,
                "worse than predicting the mean: the learning rate is too high",
            ),
            (
                "arch = 'relu'",
                1e8,
                &bad,
                "the values are large, with a root mean square of 10000",
            ),
            (
                "arch = 'relu'",
                1e-6,
                &bad,
                "the values are small, with a root mean square of 0.0010",
            ),
            (
                "arch = 'relu'\n[train]\nsteps = 20",
                1.0,
                &bad,
                "20 steps are few; increase `train.steps`",
            ),
            (
                "arch = 'relu'\n[train]\nsteps = 2000",
                1.0,
                &bad,
                "increase `train.steps`, change `train.lr`",
            ),
        ] {
            let advice = of(text, variance, result).expect(text);
            assert!(advice.contains(expected), "{text}: {advice}");
        }
    }

    #[test]
    fn good_result_gets_no_advice() {
        for good in [result(8, None, 0.5), result(0, Some(8), 0.01)] {
            assert_eq!(of("arch = 'kl'", 1.0, &good), None);
        }
    }
}
