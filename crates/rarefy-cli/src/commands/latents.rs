//! Command `rarefy latents`: response of latents to rows, and their association with words and targets.

mod associated;

use std::path::PathBuf;

use rarefy::data::{self, Dataset};
use rarefy::latents::{self, Kind, Latent, Neighbour, Responses, Target};
use rarefy::metrics::{FREQUENT, RARE};
use rarefy::model::Model;
use rarefy::recipe::{self, side_by_side};
use rarefy::{Error, atomic, config};
use rarefy_run::output_path;
use rarefy_run::report::DUPLICATE;
use rarefy_run::tokens::Tokens;
use serde_json::{Value, json};
use toml::Table;

use crate::cli::LatentsArgs;
use crate::configuration::as_paths;
use crate::output::{self, number, percent, start_of};
use crate::reading::{self, lines};
use crate::rows;

/// Number of neighbours of a latent in tables, and in full.
const NEAREST: usize = 3;
const NEAREST_IN_FULL: usize = 10;
pub fn run(args: &LatentsArgs) -> anyhow::Result<()> {
    if let Some(out) = &args.csv {
        output_path::check_file(out)?;
    }
    let model = Model::load(&args.model)?;
    if let Some(latent) = args.latent.filter(|latent| *latent >= model.d_sae()) {
        let expected = format!("a number below {}, the number of latents", model.d_sae());
        return Err(Error::hyper("--latent", &expected, latent).into());
    }
    let dataset = open(args, &model)?;
    let (dataset, reading) = reading::watch(dataset, args.json, "latents");
    let view = View {
        latents: latents::measure(&model, &dataset, args.top)?,
        nearest: latents::nearest(&model, NEAREST_IN_FULL),
        tokens: args.lens.tokens(&model)?,
        model: &model,
        dataset: &dataset,
    };
    let answer = match (args.latent, target(args, &dataset)?) {
        (Some(latent), _) => view.in_full(latent)?,
        (None, Some((name, target))) => view.associated(args, &name, &target)?,
        (None, None) => view.table(args)?,
    };
    reading.finish();
    if args.json {
        return output::json(&answer.value);
    }
    output::print(&answer.text)
}

/// Answer as JSON and as text.
struct Answer {
    value: Value,
    text: String,
}

/// Opens the data of the command, or of the run. The target of a transcoder is left out: latents read the input.
fn open(args: &LatentsArgs, model: &Model) -> anyhow::Result<Dataset<'static>> {
    let mut layer = Table::new();
    args.source.put(&mut layer);
    if let Some(column) = args.target.as_ref().filter(|column| *column != "labels") {
        config::insert(&mut layer, "data.label", column.clone().into());
    }
    let (mut dataset, given) = if args.data.is_empty() {
        let own_label = rows::run_config(&args.model, Table::new())?.label;
        let mut config = rows::run_config(&args.model, layer)?;
        // Another target does not make the run's label an input.
        let named = [config.label.clone(), config.text.clone()];
        let other = own_label.filter(|own| !named.contains(&Some(own.clone())));
        config.exclude.extend(other);
        config.target = None;
        // The run left the target out, so that its latents have not seen it.
        config
            .exclude
            .retain(|name| Some(name) != args.target.as_ref());
        let opened = recipe::open(&mut config);
        opened.map_err(|error| about_target(args, rows::naming_run(&args.model, error)))?
    } else {
        let options = rows::options_beside(&args.model, layer)?;
        let first = data::open_all(&as_paths(&args.data), &options);
        let first = first.map_err(|error| about_target(args, error))?;
        side_by_side(first, &args.with, None, &options)?
    };
    model.check_inputs(dataset.source.name(), &given)?;
    let rows = dataset.source.rows();
    if let Some(path) = &args.texts {
        dataset.texts = Some(lines(path, "texts", rows, args.source.rows)?);
    }
    if let Some(path) = &args.labels {
        dataset.labels = Some(lines(path, "labels", rows, args.source.rows)?);
    }
    Ok(dataset.representative(0))
}

/// Error of opening the data, in words of `--target` if that is what the data has no columns for.
fn about_target(args: &LatentsArgs, error: Error) -> Error {
    match &args.target {
        Some(column) if error.to_string().contains("`data.label` has no meaning") => {
            Error::Conflict(format!(
                "--target {column}: the data is an array, which has no columns with names; --target labels takes the \
             data's own labels (--class NAME one of them), --labels FILE those of a file"
            ))
        }
        _ => error,
    }
}

/// Target of `--search` or `--target`, with its name.
fn target(args: &LatentsArgs, dataset: &Dataset) -> anyhow::Result<Option<(String, Target)>> {
    let missing = |what: &str| {
        Error::Conflict(format!(
            "{} has no {what}s: give a text file with one {what} for each row with --{what}s FILE, or name the column of a table \
             with --{what} COLUMN",
            dataset.source.name()
        ))
    };
    if let Some(words) = &args.search {
        let texts = dataset.texts.as_ref().or(dataset.labels.as_ref());
        let texts = texts.ok_or_else(|| missing("text"))?;
        let target = Target::of_words(texts, words)?;
        return Ok(Some((format!("texts with `{words}`"), target)));
    }
    let Some(column) = &args.target else {
        return Ok(None);
    };
    let labels = dataset.labels.as_ref().ok_or_else(|| missing("label"))?;
    let kind = match args.kind.as_deref() {
        Some("score") => Kind::Score,
        Some(_) => Kind::Class,
        None => Kind::Auto,
    };
    Ok(Some((column.clone(), Target::of_labels(labels, kind)?)))
}

/// Measured latents with their model and data.
struct View<'a> {
    model: &'a Model,
    dataset: &'a Dataset<'a>,
    latents: Vec<Latent>,
    nearest: Vec<Vec<Neighbour>>,
    tokens: Option<Tokens>,
}

impl View<'_> {
    /// Name of a latent, or the first of its most active rows.
    fn named(&self, latent: usize) -> String {
        let Latent { name, top, .. } = &self.latents[latent];
        if let (Some(tokens), "") = (&self.tokens, &**name) {
            let raised = tokens.of_latents[latent].raised.iter().take(3);
            let words = raised.map(|(token, _)| tokens.word(*token).trim());
            return words.collect::<Vec<_>>().join(", ");
        }
        if !name.is_empty() || top.is_empty() {
            return name.clone();
        }
        // In quotes: a text is no name.
        if let Some(texts) = &self.dataset.texts {
            return format!("“{}”", start_of(&texts[top[0].row]));
        }
        // Labels that give no names are scores.
        if self.dataset.labels.is_some() {
            return String::new();
        }
        let shown = 3;
        let rows = top.iter().take(shown).map(|top| self.row(top.row));
        rows.collect::<Vec<_>>().join(", ")
    }

    /// Text and label of a row, or its number.
    fn row(&self, row: usize) -> String {
        let label = self
            .dataset
            .labels
            .as_ref()
            .map(|labels| start_of(&output::label(&labels[row])));
        let text = self
            .dataset
            .texts
            .as_ref()
            .map(|texts| start_of(&texts[row]));
        let parts = [label, text];
        let parts: Vec<String> = parts
            .into_iter()
            .flatten()
            .filter(|p| !p.is_empty())
            .collect();
        match parts.as_slice() {
            [] => format!("row {row}"),
            parts => parts.join(": "),
        }
    }

    /// Numbers of the nearest latents.
    fn near(&self, latent: usize) -> String {
        let near = self.nearest[latent].iter().take(NEAREST);
        let near = near.map(|n| format!("{} ({:.2})", n.latent, n.similarity));
        near.collect::<Vec<_>>().join(", ")
    }

    /// Sentence on all latents.
    fn verdict(&self) -> String {
        let count =
            |wanted: &dyn Fn(&Latent) -> bool| self.latents.iter().filter(|l| wanted(l)).count();
        let active: f64 = self.latents.iter().map(|l| l.firing_rate).sum();
        let close = |(latent, near): (usize, &Vec<Neighbour>)| {
            near.first().is_some_and(|n| n.similarity > DUPLICATE)
                && self.latents[latent].firing_rate > 0.0
        };
        let duplicates = self
            .nearest
            .iter()
            .enumerate()
            .filter(|found| close(*found))
            .count();
        format!(
            "{} latents on {} rows: {active:.1} active per row; {} on no row, {} more on fewer than {}, {} on more than {}; \
             {duplicates} of the active ones within cosine {DUPLICATE} of another",
            self.latents.len(),
            self.dataset.source.rows(),
            count(&|l| l.firing_rate == 0.0),
            count(&|l| l.firing_rate > 0.0 && l.firing_rate < RARE),
            percent(RARE),
            count(&|l| l.firing_rate > FREQUENT),
            percent(FREQUENT),
        )
    }

    /// Table of all latents.
    fn table(&self, args: &LatentsArgs) -> anyhow::Result<Answer> {
        let mut order: Vec<usize> = (0..self.latents.len()).collect();
        let key = |latent: usize| match args.sort.as_str() {
            "activity" => self.latents[latent].firing_rate,
            "max" => self.latents[latent].max.abs(),
            _ => 0.0,
        };
        order.sort_by(|a, b| key(*b).total_cmp(&key(*a)));
        let line = |latent: usize| {
            let of = &self.latents[latent];
            vec![
                latent.to_string(),
                percent(of.firing_rate),
                number(of.mean),
                number(of.max),
                self.near(latent),
                self.named(latent),
            ]
        };
        let header = [
            "latent",
            "active on",
            "mean",
            "max",
            "nearest (cosine)",
            "name",
        ];
        if let Some(path) = &args.csv {
            let lines = (0..self.latents.len()).map(|latent| self.csv_line(latent));
            let names = [
                "latent",
                "name",
                "firing_rate",
                "mean",
                "max",
                "nearest",
                "top_rows",
            ];
            write_csv(path, &names, lines)?;
        }
        let lines: Vec<Vec<String>> = order.iter().take(args.limit).map(|l| line(*l)).collect();
        let mut text = format!(
            "{}\n\n{}",
            self.verdict(),
            output::table_but_last(&header, &lines)
        );
        if order.len() > args.limit {
            let (more, all) = (order.len() - args.limit, order.len());
            text = format!("{text}\n{more} more latents: --limit {all}, --csv FILE or --json");
        }
        let all = order
            .iter()
            .map(|latent| self.value(*latent))
            .collect::<Vec<_>>();
        let value = json!({"rows": self.dataset.source.rows(), "latents": all});
        Ok(Answer { value, text })
    }

    /// Latent as JSON, with texts and labels of its most active rows.
    fn value(&self, latent: usize) -> Value {
        let mut value = json!(self.latents[latent]);
        let rows = self.latents[latent].top.iter().map(|top| {
            let of =
                |cells: &Option<Vec<String>>| cells.as_ref().map(|cells| cells[top.row].clone());
            json!({
                "row": top.row, "activation": top.activation,
                "label": of(&self.dataset.labels), "text": of(&self.dataset.texts),
            })
        });
        value["top"] = rows.collect();
        value["nearest"] = json!(self.nearest[latent]);
        if let Some(tokens) = &self.tokens {
            let named = |list: &[(usize, f32)]| -> Value {
                let entry = |(token, logit): &(usize, f32)| json!({"token": tokens.word(*token), "logit": logit});
                list.iter().map(entry).collect()
            };
            value["raised"] = named(&tokens.of_latents[latent].raised);
            value["lowered"] = named(&tokens.of_latents[latent].lowered);
        }
        value
    }

    fn csv_line(&self, latent: usize) -> Vec<String> {
        let of = &self.latents[latent];
        let near = self.nearest[latent]
            .iter()
            .take(NEAREST)
            .map(|n| n.latent.to_string());
        let rows = of.top.iter().map(|top| top.row.to_string());
        vec![
            latent.to_string(),
            of.name.clone(),
            of.firing_rate.to_string(),
            of.mean.to_string(),
            of.max.to_string(),
            near.collect::<Vec<_>>().join(" "),
            rows.collect::<Vec<_>>().join(" "),
        ]
    }

    /// One latent in full.
    fn in_full(&self, latent: usize) -> anyhow::Result<Answer> {
        let of = &self.latents[latent];
        let source = self.dataset.source.as_ref();
        let responses = Responses::of(self.model, source)?;
        let together = &responses.together(NEAREST_IN_FULL)[latent];
        let mut value = self.value(latent);
        value["together"] = json!(together);
        let facts = [
            ("latent", latent.to_string()),
            ("name", self.named(latent)),
            (
                "active on",
                format!("{} of {} rows", percent(of.firing_rate), source.rows()),
            ),
            ("mean activation when active", number(of.mean)),
            ("largest activation", number(of.max)),
        ];
        let facts = facts.map(|(name, value)| vec![name.to_owned(), value]);
        let rows: Vec<Vec<String>> = of
            .top
            .iter()
            .map(|top| {
                let activation = f64::from(top.activation);
                let share = activation.abs() / of.max.abs().max(f64::MIN_POSITIVE);
                vec![
                    top.row.to_string(),
                    number(activation),
                    bar(share),
                    self.row(top.row),
                ]
            })
            .collect();
        let near = |neighbours: &[Neighbour]| -> Vec<Vec<String>> {
            let line = |n: &Neighbour| {
                vec![
                    n.latent.to_string(),
                    format!("{:.2}", n.similarity),
                    self.named(n.latent),
                ]
            };
            neighbours.iter().map(line).collect()
        };
        let lens = self
            .tokens
            .as_ref()
            .map_or_else(String::new, |tokens| lens_table(tokens, latent));
        let text = format!(
            "{}\n\nMost active rows\n{}\n\nNearest decoder rows\n{}\n\nActive on the same rows\n{}{lens}",
            output::table(&["", ""], &facts, false),
            output::table(&["row", "activation", "", ""], &rows, false),
            output::table(
                &["latent", "cosine", "name"],
                &near(&self.nearest[latent]),
                false
            ),
            output::table(&["latent", "shared", "name"], &near(together), false),
        );
        Ok(Answer { value, text })
    }
}

/// Tokens that a latent raises and lowers, side by side.
fn lens_table(tokens: &Tokens, latent: usize) -> String {
    let lens = &tokens.of_latents[latent];
    let cells = |(token, logit): &(usize, f32)| {
        [
            format!("{:?}", tokens.word(*token)),
            number(f64::from(*logit)),
        ]
    };
    let pairs = lens.raised.iter().zip(&lens.lowered);
    let lines: Vec<Vec<String>> = pairs
        .map(|(up, down)| [cells(up), cells(down)].concat())
        .collect();
    format!(
        "\n\nTokens that it raises and lowers\n{}",
        output::table(&["raises", "logit", "lowers", "logit"], &lines, false)
    )
}

/// Bar of a share of the largest activation.
fn bar(share: f64) -> String {
    const WIDTH: f64 = 20.0;
    "#".repeat((share * WIDTH).round() as usize)
}

/// Writes a table, atomically.
fn write_csv(
    path: &PathBuf,
    header: &[&str],
    lines: impl Iterator<Item = Vec<String>>,
) -> rarefy::Result<()> {
    atomic::write(path, |out| {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(header)?;
        for line in lines {
            writer.write_record(line)?;
        }
        writer.flush()
    })
}
