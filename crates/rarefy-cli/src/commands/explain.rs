//! Command `rarefy explain`: objective of a run, and its coefficients in other libraries' conventions.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use rarefy::config::Config;
use rarefy::data::Columns;
use rarefy::explain::{
    self, Coefficient, Line, Published, RowStatistics, Scaling, Setting, Unit, short,
};
use rarefy::recipe::{self, TrainingData};
use rarefy::variants::Info;
use rarefy::{Error, Result};
use serde_json::{Value, json};

use crate::cli::{self, ExplainArgs, TrainArgs};
use crate::{configuration, output};

/// Configuration, plan and row statistics of a run before it starts.
struct Known {
    config: Config,
    setting: Setting,
    /// Statistics of the prepared rows; `None` if the data is missing.
    rows: Option<RowStatistics>,
    warnings: Vec<String>,
}

pub fn run(mut args: ExplainArgs, matches: &ArgMatches) -> anyhow::Result<()> {
    let specs = std::mem::take(&mut args.from);
    let config = configuration(&mut args.train, matches)?;
    let known = known(config)?;
    let (setting, rows) = (&known.setting, known.rows.as_ref());
    let from = specs
        .iter()
        .map(|spec| explain::published(spec, setting, rows));
    let from = from.collect::<Result<Vec<Published>>>()?;
    let lines = explain::lines(setting);
    let coefficients = explain::coefficients(setting, rows);
    if args.latex {
        return output::print(explain::latex(&lines).trim_end());
    }
    if args.train.json {
        return output::json(&as_json(&known, &lines, &coefficients, &from));
    }
    for warning in &known.warnings {
        output::warn(warning, &cli::named("explain"));
    }
    output::print(&as_text(&known, &lines, &coefficients, &from))
}

/// Configuration that `train` would use for the same flags; the data argument may also be a configuration file.
fn configuration(args: &mut TrainArgs, matches: &ArgMatches) -> anyhow::Result<Config> {
    let only = match args.data.as_slice() {
        [only] => config_at(only),
        _ => None,
    };
    if let Some(path) = only {
        if args.config.is_some() {
            let why = format!(
                "{} and --config are two configurations; give one of them",
                path.display()
            );
            return Err(Error::Conflict(why).into());
        }
        args.data.clear();
        args.config = Some(path);
    }
    configuration::of_command(args, matches)
}

/// Path of a configuration: the path itself if it ends in .toml, or the config.toml of a run folder.
fn config_at(data: &str) -> Option<PathBuf> {
    let path = Path::new(data);
    let own = path.join("config.toml");
    if own.is_file() {
        return Some(own);
    }
    let toml = path
        .extension()
        .is_some_and(|extension| extension == "toml");
    toml.then(|| path.into())
}

/// Plan and statistics, from rows prepared as in `train`; without the data, the part that follows from the configuration.
fn known(mut config: Config) -> anyhow::Result<Known> {
    let (dataset, raw) = match recipe::open(&mut config.data) {
        Ok(opened) => opened,
        Err(Error::Io { source, path }) if source.kind() == ErrorKind::NotFound => {
            let setting = Setting::without_data(&config)?;
            let missing = format!(
                "{} does not exist: values that depend on the data are unknown",
                path.display()
            );
            return Ok(Known {
                config,
                setting,
                rows: None,
                warnings: vec![missing],
            });
        }
        Err(error) => return Err(error.into()),
    };
    let data = TrainingData::new(&config.data, dataset.source.as_ref(), &raw)?;
    let plan = data.plan(&config)?;
    // The scale of coefficients follows the scale of the outputs.
    let written = plan.io().target_start()..plan.io().row_width();
    Ok(Known {
        setting: Setting::of(&plan)?,
        rows: Some(RowStatistics::measure(
            &Columns::new(data.rows().as_ref(), written.clone()),
            &data.survey().of(written),
        )?),
        config: plan.config().clone(),
        warnings: plan.warnings().to_vec(),
    })
}

fn as_text(known: &Known, lines: &[Line], all: &[Coefficient], from: &[Published]) -> String {
    let mut parts = vec![head(known), explain::text(lines).trim_end().to_owned()];
    let elsewhere = table(all);
    if elsewhere.lines().count() > 1 {
        parts.push(elsewhere);
    }
    parts.extend(notes(known, all, from));
    parts.extend(from.iter().map(|published| of_published(published, known)));
    parts.join("\n\n")
}

fn head(known: &Known) -> String {
    let (arch, data) = (known.setting.info.name, &known.config.data);
    let after = |steps: Option<&[String]>| match steps.unwrap_or_default() {
        steps if steps.iter().all(|step| step == "none") => String::new(),
        steps => format!(", after {}", steps.join(", ")),
    };
    let inputs = data.preprocess.as_deref();
    let io = &known.setting.io;
    // The scale of coefficients follows the scale of the outputs.
    let (x, written) = if io.has_target() {
        let steps = data.preprocess_target.as_deref().or(inputs);
        let target = data.target.as_deref().unwrap_or_default();
        (
            "y",
            format!(" to {} of {target}{}", io.d_out(), after(steps)),
        )
    } else {
        ("x", String::new())
    };
    let rows = known.rows.map_or(String::new(), |r| {
        let (read, steps) = (io.d_in(), after(inputs));
        let [norm, square, variance] = [r.mean_norm, r.mean_square, r.variance].map(short);
        let (rows, puts) = (r.rows, if x == "x" { "inputs" } else { "outputs" });
        format!(
            ": {rows} rows of {read}{steps}{written}\n\
             E|{x}| = {norm}, E|{x}|^2 = {square}, variance (sum over {puts}) = {variance}"
        )
    });
    let more = match data.more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let others = data.with.iter().map(|with| format!(" + {with}"));
    let all: String = [more].into_iter().chain(others).collect();
    format!("{arch} on {}{all}{rows}", data.path)
}

/// Table of each coefficient's names and values in other conventions.
fn table(all: &[Coefficient]) -> String {
    let number = |value: Option<f64>| value.map_or("unknown".into(), short);
    let mut rows = Vec::new();
    for coefficient in all {
        let here = [coefficient.option.to_owned(), number(coefficient.value)];
        for (at, other) in coefficient.elsewhere.iter().enumerate() {
            let here = if at == 0 {
                here.clone()
            } else {
                [String::new(), String::new()]
            };
            let there = [
                number(other.value),
                other.theirs.name.to_owned(),
                other.convention.name.to_owned(),
            ];
            rows.push(here.into_iter().chain(there).collect());
        }
    }
    output::table(&["here", "", "there", "as", "in"], &rows, false)
}

/// Notes on the conventions in the table: scaling of rows and other differences.
fn notes(known: &Known, all: &[Coefficient], from: &[Published]) -> Option<String> {
    let said = |name| {
        from.iter()
            .any(|published| published.convention.name == name)
    };
    let mut lines: Vec<String> = Vec::new();
    for convention in explain::CONVENTIONS.iter().filter(|c| !said(c.name)) {
        let mut others = all.iter().flat_map(|c| &c.elsewhere);
        if others.any(|other| other.convention.name == convention.name) {
            lines.push(format!("{}: {}", convention.name, convention.summary));
            lines.extend(scaled(convention.scaling, known.rows.as_ref()));
            let notes = convention.notes(known.setting.info).into_iter();
            lines.extend(notes.map(|note| format!("  {note}")));
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Line on the scaling of rows in a convention; `None` if rows are not scaled.
fn scaled(scaling: Scaling, rows: Option<&RowStatistics>) -> Option<String> {
    let (formula, s) = match scaling {
        Scaling::None => return None,
        Scaling::MeanNorm => (
            "sqrt(inputs) / E|x|",
            rows.map(|r| (r.d_in as f64).sqrt() / r.mean_norm),
        ),
        Scaling::MeanSquare => ("1 / sqrt(E|x|^2)", rows.map(|r| 1.0 / r.mean_square.sqrt())),
    };
    let s = s.map_or(String::new(), |s| format!(" = {}", short(s)));
    Some(format!("  rows times {formula}{s}"))
}

fn of_published(published: &Published, known: &Known) -> String {
    let convention = published.convention;
    let mut lines = vec![format!("from {}: {}", convention.name, convention.summary)];
    lines.extend(scaled(convention.scaling, known.rows.as_ref()));
    let notes = convention.notes(known.setting.info).into_iter();
    lines.extend(notes.map(|note| format!("  {note}")));
    for number in &published.numbers {
        let here = number.here.map_or("unknown without the data".into(), short);
        let (theirs, there) = (number.theirs.name, short(number.there));
        lines.push(format!(
            "  {theirs} {there} is here {} {here}",
            number.theirs.option
        ));
    }
    lines.extend(flags(published).map(|flags| format!("  {flags}")));
    lines.join("\n")
}

/// Flags that set the converted options; `None` if a value is unknown.
fn flags(published: &Published) -> Option<String> {
    let options = published.options()?;
    let flag = |(option, value): &(&str, String)| format!("--{} {value}", option.replace('_', "-"));
    Some(options.iter().map(flag).collect::<Vec<_>>().join(" "))
}

fn as_json(known: &Known, lines: &[Line], all: &[Coefficient], from: &[Published]) -> Value {
    let setting = &known.setting;
    let open = all.iter().filter(|c| c.value.is_none()).map(|c| c.option);
    json!({
        "architecture": setting.info.name,
        "data": known.config.data.path,
        "more": known.config.data.more,
        "preprocess": known.config.data.preprocess,
        "rows": known.rows,
        "latents": setting.d_sae,
        "batch": setting.batch,
        "decoder_norm": setting.decoder_norm.name(),
        "sparsity_warmup": setting.warmup,
        "options": setting.options.iter().map(option).collect::<Value>(),
        "objective": lines,
        "coefficients": all.iter().map(coefficient).collect::<Value>(),
        "from": from.iter().map(|p| published(p, setting.info)).collect::<Value>(),
        "open": open.collect::<Value>(),
        "warnings": known.warnings,
    })
}

/// Option as JSON, with numbers as numbers.
fn option((name, value): (&str, &str)) -> (String, Value) {
    let number = value
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite());
    (
        name.into(),
        number.map_or_else(|| value.into(), Value::from),
    )
}

fn coefficient(c: &Coefficient) -> Value {
    let unit = match c.unit {
        Unit::Weight(degree) => json!({"weight_of_degree": degree}),
        Unit::Activation => json!("activation"),
        Unit::PerActivation => json!("per activation"),
        Unit::Number => json!("number"),
    };
    let other = |e: &explain::Equivalent| json!({"in": e.convention.name, "as": e.theirs.name, "value": e.value});
    let elsewhere: Value = c.elsewhere.iter().map(other).collect();
    json!({"option": c.option, "value": c.value, "unit": unit, "elsewhere": elsewhere})
}

fn published(p: &Published, info: &Info) -> Value {
    let number = |n: &explain::Converted| json!({"as": n.theirs.name, "there": n.there, "option": n.theirs.option, "here": n.here});
    let numbers: Value = p.numbers.iter().map(number).collect();
    let frame = p
        .frame
        .map(|f| json!({"scale": f.scale, "factor": f.factor}));
    json!({"in": p.convention.name, "frame": frame, "numbers": numbers, "flags": flags(p), "notes": p.convention.notes(info)})
}
