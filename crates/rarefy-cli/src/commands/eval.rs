//! Command `rarefy eval`: metrics of a model on data.

use rarefy::metrics::Evaluation;
use rarefy::model::Model;
use rarefy::recipe::Evaluated;
use serde_json::json;

use crate::cli::EvalArgs;
use crate::output::{self, number};
use crate::reading;
use crate::rows::{Given, Opened};

pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let model = Model::load(&args.model)?;
    let given = Given {
        model: &args.model,
        data: &args.data,
        source: &args.source,
        with: &args.with,
        target: args.target.as_deref(),
    };
    let Opened {
        dataset,
        io,
        holdout,
    } = given.open()?;
    model.check_given(dataset.source.name(), &io)?;
    given.tell_of_training_rows();
    let dataset = dataset.representative(holdout);
    let (dataset, reading) = reading::watch(dataset, false, "eval");
    let Evaluated { training, held_out } = Evaluated::of(&model, dataset.source.as_ref(), holdout)?;
    reading.finish();
    if args.json {
        return match held_out {
            Some(held_out) => output::json(&json!({"held_out": held_out, "training": training})),
            None => output::json(&training),
        };
    }
    let (header, rows) = summary(&training, held_out.as_ref(), &dataset.parts);
    output::print(&output::table(&header, &rows, true))
}

/// Header and rows of the table of metrics: held-out rows before training rows, if any are held out.
pub fn summary(
    training: &Evaluation,
    held_out: Option<&Evaluation>,
    parts: &[String],
) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let rows = summary_rows(training, parts);
    match held_out {
        Some(held_out) => (
            vec!["", "held-out", "training"],
            beside(&summary_rows(held_out, parts), rows),
        ),
        None => (vec!["", ""], rows),
    }
}

/// Rows of the table of metrics, as (name, value); `parts` are the inputs of a crosscoder.
fn summary_rows(e: &Evaluation, parts: &[String]) -> Vec<Vec<String>> {
    let mut rows = vec![("rows", e.rows.to_string())];
    if e.kl.is_some() {
        rows.push(("loss", number(e.loss)));
        rows.push(("  reconstruction", number(e.reconstruction)));
    } else {
        // The objective of training has penalties too, which need the rows of a batch.
        rows.push(("squared error per row", number(e.mse)));
    }
    rows.extend(e.penalty.map(|penalty| ("  penalty", number(penalty))));
    rows.extend(
        e.weight_decay
            .map(|decay| ("  weight decay", number(decay))),
    );
    rows.push(("explained variance", number(e.explained_variance)));
    let names: Vec<String> = parts.iter().map(|name| format!("  of {name}")).collect();
    let by_input = names.iter().zip(&e.explained_variance_by_input);
    rows.extend(by_input.map(|(name, part)| (name.as_str(), number(*part))));
    if let Some(kl) = &e.kl {
        rows.push(("rho", number(kl.rho)));
        rows.push((
            "mean rho_hat",
            format!(
                "{} ({} %)",
                number(kl.rho_hat_mean),
                signed(100.0 * (kl.rho_hat_mean / kl.rho - 1.0))
            ),
        ));
        let of_rho = |deviation: f64| format!("{:.1} % of rho", 100.0 * deviation);
        rows.push(("mean |rho_hat - rho|", of_rho(kl.rho_hat_mean_deviation)));
        rows.push(("worst |rho_hat - rho|", of_rho(kl.rho_hat_max_deviation)));
    }
    rows.push(("active latents per row (L0)", number(e.l0)));
    let latents = e.latents.len();
    rows.push(("dead latents", format!("{} of {latents}", e.dead_latents)));
    rows.push(("active on every row", e.always_on_latents.to_string()));
    let collapsed = e.collapsed_latents.map(|count| count.to_string());
    rows.extend(collapsed.map(|count| ("collapsed latents", count)));
    let rare = e.rare_latents.map(|count| count.to_string());
    rows.extend(rare.map(|count| ("active on fewer than 0.01 % of rows", count)));
    let frequent = e.frequent_latents.map(|count| count.to_string());
    rows.extend(frequent.map(|count| ("active on more than 10 % of rows", count)));
    rows.into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect()
}

/// Number with its sign and one digit; 0.0 for what rounds to it.
fn signed(value: f64) -> String {
    let text = format!("{value:+.1}");
    if text == "-0.0" || text == "+0.0" {
        "0.0".into()
    } else {
        text
    }
}

/// Two tables of the same metrics side by side; metrics that only one has are left out of the other.
fn beside(first: &[Vec<String>], second: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let value = |name: &str| {
        let row = first.iter().find(|row| row[0] == name);
        row.map(|row| row[1].clone()).unwrap_or_default()
    };
    let rows = second.into_iter();
    rows.map(|row| vec![row[0].clone(), value(&row[0]), row[1].clone()])
        .collect()
}
