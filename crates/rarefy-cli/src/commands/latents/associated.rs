//! Latents ranked by their association with words, classes or a score.

use rarefy::Error;
use rarefy::latents::{self, Association, Features, Target};
use serde_json::json;

use super::{Answer, View, write_csv};
use crate::cli::LatentsArgs;
use crate::output::{self, number, percent};

impl View<'_> {
    /// Latents ranked by their association with a target, and its prediction by the best of them.
    pub(super) fn associated(
        &self,
        args: &LatentsArgs,
        name: &str,
        target: &Target,
    ) -> anyhow::Result<Answer> {
        let source = self.dataset.source.as_ref();
        let mut found = latents::associations(self.model, source, target)?;
        if args.search.is_some() {
            // Few rows have the words, so the test says little of any one latent: the strongest activations say more.
            found.retain(|association| association.correlation > 0.0);
            found.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
        }
        if let Some(class) = &args.class {
            of_class(&mut found, target, class)?;
        }
        if let Some(path) = &args.csv {
            let names = [
                "latent",
                "name",
                "class",
                "correlation",
                "odds_ratio",
                "active",
                "inactive",
                "p",
                "q",
            ];
            write_csv(path, &names, found.iter().map(|a| self.association_line(a)))?;
        }
        let kind = match target {
            Target::Score(_) => "score".to_owned(),
            Target::Class { names, .. } if names.len() == 2 && names[1].is_empty() => {
                "words".to_owned()
            }
            Target::Class { names, .. } => format!("{} classes", names.len()),
        };
        let shown: Vec<&Association> = found.iter().take(args.limit).collect();
        let mut text = format!(
            "{name} ({kind}{})\n\n{}",
            counts(target),
            self.association_table(target, &shown)
        );
        let missing = target.missing();
        let mut value =
            json!({"target": name, "kind": kind, "missing": missing, "associations": found});
        for (association, value) in found
            .iter()
            .zip(value["associations"].as_array_mut().into_iter().flatten())
        {
            value["name"] = self.latents[association.latent].name.clone().into();
        }
        if args.target.is_some() {
            let (baseline, probes) = latents::probe(self.model, source, target)?;
            let line = |probe: &latents::Probe| {
                let features = match probe.features {
                    Features::Latents(1) => "the best latent".to_owned(),
                    Features::Latents(count) => format!("the best {count} latents"),
                    Features::Inputs(count) => format!("all {count} inputs"),
                };
                vec![features, percent(probe.score)]
            };
            let mut lines: Vec<Vec<String>> = probes.iter().map(line).collect();
            let what = match target {
                Target::Score(_) => "variance explained (R2)",
                Target::Class { .. } => {
                    lines.insert(
                        0,
                        vec!["the largest class, always".into(), percent(baseline)],
                    );
                    "right class"
                }
            };
            text +=
                "\n\nPrediction of rows that the fit has not seen (ridge regression, 5 folds)\n";
            text += &output::table(&["", what], &lines, true);
            value["probe"] = json!({"baseline": baseline, "probes": probes});
        }
        Ok(Answer { value, text })
    }

    fn association_table(&self, target: &Target, shown: &[&Association]) -> String {
        let is_score = matches!(target, Target::Score(_));
        let line = |a: &&Association| {
            let share = |value: f64| {
                if is_score {
                    number(value)
                } else {
                    percent(value)
                }
            };
            let mut cells = vec![
                a.latent.to_string(),
                format!("{:+.3}", a.correlation),
                share(a.active),
                share(a.inactive),
                q(a.q),
                percent(self.latents[a.latent].firing_rate),
            ];
            if let Some(odds) = a.odds_ratio {
                cells.insert(2, number(odds));
                cells.insert(1, a.class.as_deref().map(output::label).unwrap_or_default());
            }
            cells.push(self.named(a.latent));
            cells
        };
        let lines: Vec<Vec<String>> = shown.iter().map(line).collect();
        if lines.is_empty() {
            return "No active latent goes with it.".into();
        }
        let header: &[&str] = if is_score {
            &[
                "latent",
                "correlation",
                "mean if active",
                "else",
                "q",
                "active on",
                "name",
            ]
        } else {
            &[
                "latent",
                "class",
                "correlation",
                "odds ratio",
                "of active rows",
                "of others",
                "q",
                "active on",
                "name",
            ]
        };
        output::table_but_last(header, &lines)
    }

    fn association_line(&self, a: &Association) -> Vec<String> {
        vec![
            a.latent.to_string(),
            self.latents[a.latent].name.clone(),
            a.class.clone().unwrap_or_default(),
            a.correlation.to_string(),
            a.odds_ratio
                .map(|odds| odds.to_string())
                .unwrap_or_default(),
            a.active.to_string(),
            a.inactive.to_string(),
            a.p.to_string(),
            a.q.to_string(),
        ]
    }
}

/// Keeps the associations with one class, by its name or its shorter label.
fn of_class(found: &mut Vec<Association>, target: &Target, class: &str) -> rarefy::Result<()> {
    let Target::Class { names, .. } = target else {
        let why = "--class has no meaning: the target is a score";
        return Err(Error::Conflict(why.into()));
    };
    let is_it = |name: &String| name == class || output::label(name) == class;
    if !names.iter().any(is_it) {
        let names = names.iter().map(String::as_str);
        return Err(Error::unknown("class", class, names));
    }
    found.retain(|association| association.class.as_ref().is_some_and(is_it));
    Ok(())
}

/// Number of rows that have the words, or that lack a score or class.
fn counts(target: &Target) -> String {
    let rows = target.rows();
    if let Target::Class { names, of_rows } = target
        && names.len() == 2
        && names[1].is_empty()
    {
        let with = of_rows.iter().filter(|class| **class == Some(0)).count();
        return format!("; {with} of {rows} rows have them");
    }
    match target.missing() {
        0 => String::new(),
        missing => format!("; {missing} of {rows} rows have none and are left out"),
    }
}

/// False discovery rate; numbers below the smallest f64 are named as such.
fn q(rate: f64) -> String {
    if rate == 0.0 {
        "<1e-300".into()
    } else {
        format!("{rate:.1e}")
    }
}
