//! Command `rarefy compare`: runs side by side, as tables and as one page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rarefy::data;
use rarefy::model::Model;
use rarefy::recipe::side_by_side;
use rarefy::{Error, atomic, config, metrics};
use rarefy_report::{ComparedRun, Comparison, render_comparison};
use rarefy_run::figures::{self, Figures, Metrics};
use rarefy_run::folder::Run;
use rarefy_run::output_path;
use rarefy_run::report::history;
use rarefy_run::settings;
use serde_json::{Value, json};
use toml::Table;

use crate::cli::CompareArgs;
use crate::configuration::{self, as_paths};
use crate::output::{self, number, percent};
use crate::{reading, rows};

/// Rows whose figure is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Held-out rows, or training rows if none are held out.
    HeldOut,
    /// Training rows: few held-out rows say little about single latents and their means.
    Training,
}

/// Figures of the table: metric, name, rows, and text of its value.
type Shown = (&'static str, &'static str, Of, fn(f64) -> String);
const SHOWN: [Shown; 9] = [
    (
        "explained_variance",
        "explained variance",
        Of::HeldOut,
        percent,
    ),
    ("l0", "L0", Of::HeldOut, number),
    ("dead_latents", "dead", Of::Training, whole),
    ("rare_latents", "rare", Of::Training, whole),
    ("frequent_latents", "dense", Of::Training, whole),
    ("collapsed_latents", "collapsed", Of::Training, whole),
    ("rho_hat_mean", "mean rho_hat", Of::Training, number),
    ("omega", "Omega", Of::Training, number),
    ("mse", "squared error", Of::HeldOut, number),
];

pub fn run(args: &CompareArgs) -> anyhow::Result<()> {
    if let Some(out) = &args.out {
        output_path::check_file(out)?;
        if out
            .extension()
            .is_none_or(|ending| !ending.eq_ignore_ascii_case("html"))
        {
            return Err(Error::hyper("--out", "a file that ends with .html", out.display()).into());
        }
    }
    let mut runs = read(&args.runs)?;
    if !args.data.is_empty() {
        evaluate(&mut runs, args)?;
    }
    let told = Told::of(runs, &args.data);
    if let Some(out) = &args.out {
        told.write_page(out)?;
    }
    if args.json {
        return output::json(&told.value());
    }
    told.notes.iter().for_each(|note| output::note(note));
    output::print(&tables(&told.runs, &told.settings))?;
    args.out.as_ref().map_or(Ok(()), |out| {
        output::print(&format!("\npage  {}", out.display()))
    })
}

/// Runs at these paths, with short names.
fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Compared>> {
    let runs = paths.iter().map(|path| Compared::read(path));
    let mut runs = runs.collect::<anyhow::Result<Vec<_>>>()?;
    shorten_names(&mut runs);
    Ok(runs)
}

/// Compares the runs of a sweep: writes the page; returns the tables, and the object of `--json`.
pub fn sweep(paths: &[PathBuf], page: &Path) -> anyhow::Result<(String, Value)> {
    let told = Told::of(read(paths)?, &[]);
    told.write_page(page)?;
    Ok((tables(&told.runs, &told.settings), told.value()))
}

/// Runs with the statements about them.
struct Told {
    runs: Vec<Compared>,
    notes: Vec<String>,
    settings: Vec<(String, Vec<String>)>,
    /// True if all models were evaluated on the same rows.
    of_data: bool,
}

impl Told {
    fn of(runs: Vec<Compared>, data: &[String]) -> Self {
        Self {
            notes: notes(&runs, data),
            settings: differences(&runs),
            of_data: !data.is_empty(),
            runs,
        }
    }

    fn write_page(&self, out: &Path) -> rarefy::Result<()> {
        let page = page(&self.runs, &self.settings, &self.notes, self.of_data);
        let page = render_comparison(&page);
        atomic::write(out, |file| file.write_all(page.as_bytes()))
    }

    fn value(&self) -> Value {
        let runs: Vec<Value> = self.runs.iter().map(Compared::value).collect();
        json!({"runs": runs, "notes": self.notes})
    }
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

/// A run that is compared.
struct Compared {
    run: Run,
    name: String,
    arch: String,
    table: Table,
    /// Every setting of `table`, by section and key.
    settings: BTreeMap<String, String>,
    /// Figures of the run, or of all models on the same rows; `None` if it wrote none.
    figures: Option<Figures>,
}

impl Compared {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let run = Run::at(path);
        let table = configuration::from_run(&run)?;
        let unquoted = |(name, value): (String, String)| (name, value.trim_matches('"').to_owned());
        let settings: BTreeMap<String, String> =
            settings::values(&table).into_iter().map(unquoted).collect();
        Ok(Self {
            name: path.display().to_string(),
            arch: settings.get("model.arch").cloned().unwrap_or_default(),
            figures: figures::read(&run)?,
            settings,
            table,
            run,
        })
    }

    fn metrics(&self, of: Of) -> Option<&Metrics> {
        let figures = self.figures.as_ref()?;
        let held_out = figures.held_out.as_ref().filter(|_| of == Of::HeldOut);
        Some(held_out.unwrap_or(&figures.training))
    }

    /// Texts of the figures; a dash for one that the run does not have.
    fn figures(&self) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
        let shown = |(metric, _, of, text): &Shown| {
            or_dash(self.metrics(*of).and_then(|m| m.get(metric)).map(text))
        };
        let in_training = self.figures.as_ref().filter(|f| f.held_out.is_some());
        let in_training = in_training
            .and_then(|f| f.training.get("explained_variance"))
            .map(percent);
        let mut figures: Vec<String> = SHOWN.iter().map(shown).collect();
        figures.insert(1, or_dash(in_training));
        let done = self.figures.as_ref().and_then(|figures| figures.steps);
        let steps = done.map(|steps| steps.to_string());
        let steps = steps.or_else(|| self.settings.get("train.steps").cloned());
        figures.extend([
            or_dash(self.settings.get("model.latents").cloned()),
            or_dash(steps),
        ]);
        figures
    }

    fn value(&self) -> Value {
        let of = |metrics: Option<&Metrics>| {
            let pairs = SHOWN
                .iter()
                .map(|(name, ..)| (*name, metrics.and_then(|m| m.get(name))));
            metrics.map(|_| pairs.collect::<BTreeMap<_, _>>())
        };
        let figures = self.figures.as_ref();
        json!({
            "run": self.run.folder().display().to_string(),
            "settings": settings::flat(&self.table),
            "training": of(figures.map(|f| &f.training)),
            "held_out": of(figures.and_then(|f| f.held_out.as_ref())),
        })
    }
}

/// Names of the columns of [`Compared::figures`].
fn names_of_figures() -> Vec<&'static str> {
    let mut names: Vec<&str> = SHOWN.iter().map(|(_, name, ..)| *name).collect();
    names.insert(1, "in training");
    names.extend(["latents", "steps"]);
    names
}

/// Leaves out the folders that all names start with.
fn shorten_names(runs: &mut [Compared]) {
    let folder = |name: &str| Path::new(name).parent().map(Path::to_path_buf);
    let first = runs.first().and_then(|run| folder(&run.name));
    if runs.len() > 1 && runs.iter().all(|run| folder(&run.name) == first) {
        for run in runs {
            let last = Path::new(&run.name).file_name();
            run.name = last.map_or_else(
                || run.name.clone(),
                |last| last.to_string_lossy().into_owned(),
            );
        }
    }
}

/// Replaces the figures of all runs by those of the same rows.
fn evaluate(runs: &mut [Compared], args: &CompareArgs) -> anyhow::Result<()> {
    let mut layer = Table::new();
    args.source.put(&mut layer);
    let options = config::merge(&[layer])?.data.open_options();
    let data = data::open_all(&as_paths(&args.data), &options)?;
    let data = side_by_side(data, &args.with, args.target.as_deref(), &options)?.0;
    let (data, reading) = reading::watch(data, args.json, "compare");
    for run in runs {
        let model = Model::load(run.run.folder())?;
        let evaluation = metrics::evaluate(&model, data.source.as_ref())
            .map_err(|error| Error::Conflict(format!("{}: {error}", run.name)))?;
        let steps = run.figures.as_ref().and_then(|figures| figures.steps);
        run.figures = Some(Figures {
            training: Metrics::of(&evaluation),
            held_out: None,
            steps,
        });
    }
    reading.finish();
    Ok(())
}

/// Line below the figures: the rows that they are measured on, if some runs have held-out rows.
fn of_rows(runs: &[Compared]) -> String {
    let measured = runs.iter().filter(|run| run.figures.is_some());
    let has_held_out = |run: &&Compared| run.figures.as_ref().is_some_and(|f| f.held_out.is_some());
    let (with, without): (Vec<&Compared>, Vec<&Compared>) = measured.partition(has_held_out);
    if with.is_empty() {
        return String::new();
    }
    let line = "Explained variance, L0 and squared error are those of held-out rows, all else of training rows.";
    if without.is_empty() {
        return format!("\n{line}");
    }
    let names: Vec<&str> = without.iter().map(|run| run.name.as_str()).collect();
    format!(
        "\n{line} No rows are held out in {}: all figures there are of training rows.",
        names.join(", ")
    )
}

/// Reasons why figures may not be comparable.
fn notes(runs: &[Compared], data: &[String]) -> Vec<String> {
    let mut notes = Vec::new();
    for run in runs.iter().filter(|run| run.figures.is_none()) {
        notes.push(format!(
            "{} has no figures: it has not ended, or an older version wrote it; give --data to evaluate all models",
            run.name
        ));
    }
    for run in runs {
        let is_own = |path: &&String| rows::is_of_run(run.run.folder(), path);
        if let Some(path) = data.iter().find(is_own) {
            notes.push(format!("{} was trained on {path}", run.name));
        }
    }
    let rows: BTreeSet<[Option<&String>; 4]> = runs
        .iter()
        .map(|run| {
            ["data.path", "data.more", "data.rows", "data.holdout"].map(|key| run.settings.get(key))
        })
        .collect();
    if rows.len() > 1 && data.is_empty() {
        notes.push("the runs have other rows to train on or to hold out: give --data to evaluate all models on the same rows".into());
    }
    let columns: BTreeSet<[Option<&String>; 4]> = runs
        .iter()
        .map(|run| {
            ["data.columns", "data.exclude", "data.label", "data.text"]
                .map(|key| run.settings.get(key))
        })
        .collect();
    if columns.len() > 1 && data.is_empty() {
        notes.push("the runs name other columns (--columns, --exclude, --label, --text): with other inputs, squared errors and explained variances are not comparable".into());
    }
    let steps = |run: &Compared| {
        let steps = run.settings.get("data.preprocess").cloned();
        steps.filter(|steps| steps != "[]" && steps != "[\"none\"]")
    };
    let prepared: BTreeSet<Option<String>> = runs.iter().map(steps).collect();
    if prepared.len() > 1 {
        notes.push("the runs prepare their rows differently: squared errors and explained variances are those of prepared rows".into());
    }
    notes
}

/// Settings that are not the same in all runs, with the value of each run; a dash where a run has none.
fn differences(runs: &[Compared]) -> Vec<(String, Vec<String>)> {
    let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.settings.keys()).collect();
    let values = |name: &String| -> Vec<String> {
        let of = |run: &Compared| {
            run.settings
                .get(name)
                .cloned()
                .unwrap_or_else(|| "–".into())
        };
        runs.iter().map(of).collect()
    };
    let all = names.into_iter().map(|name| (name.clone(), values(name)));
    all.filter(|(_, values)| values.iter().any(|value| *value != values[0]))
        .collect()
}

fn tables(runs: &[Compared], settings: &[(String, Vec<String>)]) -> String {
    let line = |run: &Compared| -> Vec<String> {
        std::iter::once(run.name.clone())
            .chain(run.figures())
            .collect()
    };
    let mut header = vec!["run"];
    header.extend(names_of_figures());
    let mut lines: Vec<Vec<String>> = runs.iter().map(line).collect();
    // Figures that no run has: those of kl among sparse models.
    for column in (1..header.len()).rev() {
        if lines.iter().all(|line| line[column] == "–") {
            header.remove(column);
            for line in &mut lines {
                line.remove(column);
            }
        }
    }
    let figures = format!("{}{}", output::table(&header, &lines, true), of_rows(runs));
    if settings.is_empty() {
        return format!("{figures}\n\nAll settings are the same.");
    }
    let mut header = vec!["setting"];
    header.extend(runs.iter().map(|run| run.name.as_str()));
    let line = |(name, values): &(String, Vec<String>)| -> Vec<String> {
        std::iter::once(name.clone())
            .chain(values.iter().cloned())
            .collect()
    };
    let settings: Vec<Vec<String>> = settings.iter().map(line).collect();
    format!("{figures}\n\n{}", output::table(&header, &settings, true))
}

fn page(
    runs: &[Compared],
    settings: &[(String, Vec<String>)],
    notes: &[String],
    of_data: bool,
) -> Comparison {
    let compared = |run: &Compared| ComparedRun {
        name: run.name.clone(),
        arch: run.arch.clone(),
        figures: run.figures(),
        // A run without records has no curves.
        history: history(&run.run).unwrap_or_default(),
        point: run
            .metrics(Of::HeldOut)
            .and_then(|m| Some((m.get("l0")?, m.get("explained_variance")?))),
    };
    Comparison {
        subtitle: if of_data {
            format!(
                "{} runs; all models are evaluated on the same rows",
                runs.len()
            )
        } else {
            format!(
                "{} runs; explained variance, L0 and squared error are those of held-out rows, where rows are held out",
                runs.len()
            )
        },
        notes: notes.to_vec(),
        settings: settings.to_vec(),
        figures: names_of_figures().into_iter().map(str::to_owned).collect(),
        runs: runs.iter().map(compared).collect(),
    }
}
