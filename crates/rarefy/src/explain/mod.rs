//! The objective of a run in mathematics, and what its coefficients are called and worth elsewhere.
//!
//! ```text
//! J = 1/m sum_i |x_i - x_hat_i|^2 + ...        sum over inputs, mean over rows
//! ```
//!
//! That is our one convention (with 1/2 before it in `kl`, as the lecture has it). Others divide by the number
//! of inputs or by the variance, or scale the rows first, so a coefficient published for one is off by that
//! factor in another. [`Frame`] has the rule, [`CONVENTIONS`] the libraries and papers.

mod conventions;
mod latents;
mod maths;
mod objective;
mod rows;
mod units;

pub use crate::objective::{LossPart, Maths, Number, TermFormula, short};
pub use crate::options::Unit;
pub use conventions::{CONVENTIONS, Convention, Loss, Scaling, Theirs};
pub use maths::{Line, latex, lines, text};
pub use objective::{Setting, terms};
pub use rows::RowStatistics;
pub use units::{Frame, unit_of};

use crate::variants::Options;
use crate::{Error, Result};

/// A number of the objective, here and elsewhere.
#[derive(Debug)]
pub struct Coefficient {
    /// The option.
    pub option: &'static str,
    /// Its value; `None` as long as it follows from data that is not there.
    pub value: Option<f64>,
    /// How it changes with the rows' scale.
    pub unit: Unit,
    /// What it is elsewhere.
    pub elsewhere: Vec<Equivalent>,
}

/// What a number of ours is in another convention.
#[derive(Debug)]
pub struct Equivalent {
    /// Whose.
    pub convention: &'static Convention,
    /// Under which name, and with which of our options.
    pub theirs: &'static Theirs,
    /// The value; `None` as long as ours is open, or theirs depends on rows that are not there.
    pub value: Option<f64>,
}

/// All coefficients: what changes with scales, and what somebody else has.
///
/// # Example
/// ```
/// use rarefy::config;
/// use rarefy::explain::{RowStatistics, Setting, coefficients};
/// let config = config::merge(&["[model]\narch = 'relu'\noptions = { l1 = 0.5 }".parse().unwrap()])?;
/// let setting = Setting::without_data(&config)?;
/// // RowStatistics of 16 inputs with a mean length of 8: SAELens halves them, and needs half the coefficient.
/// let rows = RowStatistics { rows: 1, d_in: 16, mean_norm: 8.0, mean_square: 64.0, variance: 32.0 };
/// let all = coefficients(&setting, Some(&rows));
/// let l1 = all.iter().find(|c| c.option == "l1").unwrap();
/// let scaled = l1.elsewhere.iter().find(|e| e.convention.name == "saelens-scaled").unwrap();
/// assert_eq!((scaled.theirs.name, scaled.value), ("l1_coefficient", Some(0.25)));
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn coefficients(setting: &Setting, rows: Option<&RowStatistics>) -> Vec<Coefficient> {
    let options = setting.info.options().iter();
    let all = options.filter(|o| units::is_number(o)).map(|option| {
        let value = setting.known(option.name);
        let unit = unit_of(setting.info, option.name, &setting.options);
        let elsewhere = equivalents(setting, rows, option.name, value, unit);
        Coefficient {
            option: option.name,
            value,
            unit,
            elsewhere,
        }
    });
    all.filter(|c| c.unit != Unit::Number || !c.elsewhere.is_empty())
        .collect()
}

fn equivalents(
    setting: &Setting,
    rows: Option<&RowStatistics>,
    option: &str,
    value: Option<f64>,
    unit: Unit,
) -> Vec<Equivalent> {
    let mut found = Vec::new();
    // Conventions are those of the squared error.
    if setting.sparse().is_some_and(|o| !o.error().is_squared()) {
        return found;
    }
    for convention in CONVENTIONS {
        let same =
            |t: &&Theirs| t.option == option && lacking(t.needs, &setting.options).is_empty();
        for theirs in convention.of(setting.info.name).filter(same) {
            let frame = convention.frame(rows).or(plain(unit));
            found.push(Equivalent {
                convention,
                theirs,
                value: frame
                    .zip(value)
                    .map(|(frame, here)| frame.there(unit, here)),
            });
        }
    }
    found
}

/// What is a number everywhere needs no rows to be converted.
fn plain(unit: Unit) -> Option<Frame> {
    let ours = Frame {
        scale: 1.0,
        factor: 1.0,
    };
    (unit == Unit::Number).then_some(ours)
}

/// Options that do not have one of their values, with the first of these.
fn lacking(
    needs: &[(&'static str, &'static [&'static str])],
    options: &Options,
) -> Vec<(&'static str, &'static str)> {
    let other = |(option, values): &&(&'static str, &'static [&'static str])| {
        options
            .find(option)
            .is_some_and(|value| !values.contains(&value))
    };
    let missing = needs.iter().filter(other);
    missing
        .map(|(option, values)| (*option, values[0]))
        .collect()
}

/// What somebody's coefficients become here.
#[derive(Debug)]
pub struct Published {
    /// Whose they are.
    pub convention: &'static Convention,
    /// The frame on these rows, if it is known.
    pub frame: Option<Frame>,
    /// Each number.
    pub numbers: Vec<Converted>,
    /// Options that make the objective theirs beside the numbers.
    pub with: Vec<(&'static str, &'static str)>,
}

/// A number from elsewhere.
#[derive(Debug)]
pub struct Converted {
    /// What it is.
    pub theirs: &'static Theirs,
    /// What it is there.
    pub there: f64,
    /// What it is here, if that is known.
    pub here: Option<f64>,
}

impl Published {
    /// The flags to type here; `None` as long as a number is open.
    pub fn flags(&self) -> Option<String> {
        let flag =
            |(option, value): (&str, String)| format!("--{} {value}", option.replace('_', "-"));
        let words = self
            .with
            .iter()
            .map(|(o, v)| Some(flag((*o, (*v).to_owned()))));
        let numbers = self
            .numbers
            .iter()
            .map(|n| Some(flag((n.theirs.option, short(n.here?)))));
        let all: Option<Vec<String>> = numbers.chain(words).collect();
        all.map(|flags| flags.join(" "))
    }
}

/// Converts coefficients that were published for another library or in a paper.
///
/// `spec` is a convention's name, or that and numbers: `saelens:l1=5,p=1`, by their names or ours. What a
/// paper published is taken where no number is given.
///
/// # Errors
/// [`Error::Unknown`] for a convention or coefficient that does not exist; [`Error::Conflict`] for one that
/// the architecture does not have; [`Error::Hyper`] for what is no number.
///
/// # Example
/// ```
/// use rarefy::config;
/// use rarefy::explain::{RowStatistics, Setting, published};
/// let config = config::merge(&["[model]\narch = 'relu'".parse().unwrap()])?;
/// let setting = Setting::without_data(&config)?;
/// let rows = RowStatistics { rows: 1, d_in: 16, mean_norm: 8.0, mean_square: 64.0, variance: 32.0 };
/// let april = published("april-2024", &setting, Some(&rows))?;
/// assert_eq!((april.numbers[0].there, april.numbers[0].here), (5.0, Some(10.0)));
/// let mean = published("batchtopk:l1_coeff=0.25", &setting, Some(&rows))?;
/// assert_eq!(mean.flags().unwrap(), "--l1 4");
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn published(spec: &str, setting: &Setting, rows: Option<&RowStatistics>) -> Result<Published> {
    let (name, numbers) = spec.split_once(':').unwrap_or((spec, ""));
    let convention = CONVENTIONS.iter().find(|c| c.name == name.trim());
    let convention = convention
        .ok_or_else(|| Error::unknown("convention", name, CONVENTIONS.iter().map(|c| c.name)))?;
    let mut given = Vec::new();
    for pair in numbers.split(',').filter(|pair| !pair.trim().is_empty()) {
        given.push(number(pair, convention, setting)?);
    }
    for theirs in convention.of(setting.info.name) {
        let said = given.iter().any(|(other, _)| other.option == theirs.option);
        given.extend(
            theirs
                .published
                .filter(|_| !said)
                .map(|there| (theirs, there)),
        );
    }
    if convention.of(setting.info.name).next().is_none() {
        let mut archs: Vec<&str> = convention
            .terms
            .iter()
            .flat_map(|t| t.archs)
            .copied()
            .collect();
        archs.sort_unstable();
        archs.dedup();
        let (archs, arch) = (archs.join(", "), setting.info.name);
        let why = format!("{name} has no coefficient of {arch}; it has some of {archs} (`--arch`)");
        return Err(Error::Conflict(why));
    }
    if given.is_empty() {
        let expected = format!("{name}:COEFFICIENT=NUMBER for {}", setting.info.name);
        return Err(Error::hyper("--from", &expected, spec));
    }
    convert(convention, &given, setting, rows)
}

/// One `coefficient=number`, by their name or ours.
fn number(
    pair: &str,
    convention: &'static Convention,
    setting: &Setting,
) -> Result<(&'static Theirs, f64)> {
    let wrong = || Error::hyper("--from", "COEFFICIENT=NUMBER after the colon", pair);
    let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
    let value: f64 = value.trim().parse().map_err(|_| wrong())?;
    let key = key.trim().replace('-', "_");
    if !value.is_finite() {
        return Err(wrong());
    }
    let named = |t: &&'static Theirs| t.name == key || t.option == key;
    if let Some(theirs) = convention.of(setting.info.name).find(named) {
        return Ok((theirs, value));
    }
    if let Some(other) = convention.terms.iter().find(named) {
        setting.expect(other.option)?;
    }
    let known = convention.of(setting.info.name).map(|t| t.name);
    let what = format!(
        "coefficient of {} for {}",
        convention.name, setting.info.name
    );
    Err(Error::unknown(&what, &key, known))
}

fn convert(
    convention: &'static Convention,
    given: &[(&'static Theirs, f64)],
    setting: &Setting,
    rows: Option<&RowStatistics>,
) -> Result<Published> {
    let mut options = setting.options.clone();
    let mut with = Vec::new();
    for (theirs, value) in given {
        let also = theirs
            .with
            .iter()
            .filter(|(option, value)| !has(setting, option, value));
        for (option, value) in lacking(theirs.needs, &options)
            .into_iter()
            .chain(also.copied())
        {
            if options.find(option).is_some() {
                options.replace(option, value)?;
            }
            if !with.contains(&(option, value)) {
                with.push((option, value));
            }
        }
        // A power, say, on which another number's unit depends.
        if unit_of(setting.info, theirs.option, &options) == Unit::Number {
            options.replace(theirs.option, value.to_string())?;
        }
    }
    let frame = convention.frame(rows);
    let numbers = given.iter().map(|&(theirs, there)| {
        let unit = unit_of(setting.info, theirs.option, &options);
        let here = frame.or(plain(unit)).map(|frame| frame.here(unit, there));
        Converted {
            theirs,
            there,
            here,
        }
    });
    Ok(Published {
        convention,
        frame,
        numbers: numbers.collect(),
        with,
    })
}

/// Whether a setting that is an option, or the decoder's norm, has a value.
fn has(setting: &Setting, option: &str, value: &str) -> bool {
    let norm = setting.decoder_norm.name();
    setting.options.find(option).unwrap_or(norm) == value
}

#[cfg(test)]
mod tests;
