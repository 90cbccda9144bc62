//! Objective of a run as formulas, and conversion of coefficients between libraries and papers.
//!
//! ```text
//! J = 1/m sum_i |x_i - x_hat_i|^2 + ...        sum over inputs, mean over rows
//! ```
//!
//! This is the convention here (`kl` has a factor 1/2, as in the lecture). Other libraries divide by the number of
//! inputs or by the variance, or scale the rows first. A coefficient published for one library is off by that
//! factor in another. [`Frame`] converts coefficients; [`CONVENTIONS`] lists the libraries and papers.

mod conventions;
mod latents;
mod line;
mod maths;
mod objective;
mod rows;
mod units;

pub use crate::objective::{LossPart, Maths, Number, TermFormula, Theirs, short};
pub use crate::options::Unit;
pub use conventions::{CONVENTIONS, Convention, Loss, Scaling};
pub use line::Line;
pub use maths::{latex, lines, text};
pub use objective::{Setting, terms};
pub use rows::RowStatistics;
pub use units::{Frame, unit_of};

use crate::variants::{Options, VARIANTS};
use crate::{Error, Result};

/// Coefficient of the objective with its equivalents in other conventions.
#[derive(Debug)]
pub struct Coefficient {
    /// Name of the option.
    pub option: &'static str,
    /// Value of the option; `None` if the value depends on missing data.
    pub value: Option<f64>,
    /// Unit: change of the value with the scale of the rows.
    pub unit: Unit,
    /// Equivalents in other conventions.
    pub elsewhere: Vec<Equivalent>,
}

/// Value of one of our coefficients in another convention.
#[derive(Debug)]
pub struct Equivalent {
    /// Convention of the value.
    pub convention: &'static Convention,
    /// Coefficient of that convention.
    pub theirs: &'static Theirs,
    /// Converted value; `None` if our value or the needed row statistics are missing.
    pub value: Option<f64>,
}

/// Coefficients that depend on the scale of rows or that another convention has.
///
/// # Example
/// ```
/// use rarefy::config;
/// use rarefy::explain::{RowStatistics, Setting, coefficients};
/// let config = config::merge(&["[model]\narch = 'relu'\noptions = { l1 = 0.5 }".parse().unwrap()])?;
/// let setting = Setting::without_data(&config)?;
/// // Rows of 16 inputs with a mean length of 8: SAELens halves them, and needs half the coefficient.
/// let rows = RowStatistics { rows: 1, d_in: 16, mean_norm: 8.0, mean_square: 64.0, variance: 32.0 };
/// let all = coefficients(&setting, Some(&rows));
/// let l1 = all.iter().find(|c| c.option == "l1").unwrap();
/// let scaled = l1.elsewhere.iter().find(|e| e.convention.name == "saelens-scaled").unwrap();
/// assert_eq!((scaled.theirs.name, scaled.value), ("l1_coefficient", Some(0.25)));
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn coefficients(setting: &Setting, rows: Option<&RowStatistics>) -> Vec<Coefficient> {
    let known: Vec<_> = CONVENTIONS
        .iter()
        .map(|convention| (convention, convention.of(setting.info)))
        .collect();
    let options = setting.info.options().iter();
    let all = options.filter(|o| units::is_number(o)).map(|option| {
        let value = setting.known(option.name);
        let unit = unit_of(setting.info, option.name, &setting.options);
        let elsewhere = equivalents(setting, (rows, &known), option.name, value, unit);
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
    (rows, known): (
        Option<&RowStatistics>,
        &[(&'static Convention, Vec<&'static Theirs>)],
    ),
    option: &str,
    value: Option<f64>,
    unit: Unit,
) -> Vec<Equivalent> {
    let mut found = Vec::new();
    // Conventions exist for the squared error only.
    if setting.sparse().is_some_and(|o| !o.error().is_squared()) {
        return found;
    }
    for (convention, coefficients) in known {
        let same = |t: &&&'static Theirs| {
            t.option == option && lacking(t.needs, &setting.options).is_empty()
        };
        for theirs in coefficients.iter().filter(same) {
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

/// Identity frame for plain numbers, which need no row statistics.
fn plain(unit: Unit) -> Option<Frame> {
    let ours = Frame {
        scale: 1.0,
        factor: 1.0,
    };
    (unit == Unit::Number).then_some(ours)
}

/// Options without one of their needed values, each with the first needed value.
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

/// Coefficients of another convention, converted to ours.
#[derive(Debug)]
pub struct Published {
    /// Convention of the coefficients.
    pub convention: &'static Convention,
    /// Frame of the convention for these rows, if known.
    pub frame: Option<Frame>,
    /// Converted coefficients.
    pub numbers: Vec<Converted>,
    /// Further options that make the objectives equal.
    pub with: Vec<(&'static str, &'static str)>,
}

/// Coefficient of another convention with its value here.
#[derive(Debug)]
pub struct Converted {
    /// Coefficient of the other convention.
    pub theirs: &'static Theirs,
    /// Value in the other convention.
    pub there: f64,
    /// Value here, if known.
    pub here: Option<f64>,
}

impl Published {
    /// Options with their values here, as texts; `None` if a value is unknown.
    pub fn options(&self) -> Option<Vec<(&'static str, String)>> {
        let numbers = self
            .numbers
            .iter()
            .map(|n| Some((n.theirs.option, short(n.here?))));
        let words = self.with.iter().map(|(o, v)| Some((*o, (*v).to_owned())));
        numbers.chain(words).collect()
    }
}

/// Converts coefficients that were published for another library or in a paper.
///
/// `spec` is the name of a convention, with or without numbers: `saelens:l1=5,p=1`. Coefficients have the names of
/// the convention or ours. Published values are used for numbers that are not given.
///
/// # Errors
/// [`Error::Unknown`] for an unknown convention or coefficient; [`Error::Conflict`] for a coefficient that the
/// architecture does not have; [`Error::Hyper`] for a malformed number.
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
/// assert_eq!(mean.options().unwrap(), [("l1", "4".to_owned())]);
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn published(spec: &str, setting: &Setting, rows: Option<&RowStatistics>) -> Result<Published> {
    let (name, numbers) = spec.split_once(':').unwrap_or((spec, ""));
    let convention = CONVENTIONS.iter().find(|c| c.name == name.trim());
    let convention = convention
        .ok_or_else(|| Error::unknown("convention", name, CONVENTIONS.iter().map(|c| c.name)))?;
    let known = convention.of(setting.info);
    let mut given = Vec::new();
    for pair in numbers.split(',').filter(|pair| !pair.trim().is_empty()) {
        given.push(number(pair, convention, &known, setting)?);
    }
    for theirs in &known {
        let said = given.iter().any(|(other, _)| other.option == theirs.option);
        given.extend(
            theirs
                .published
                .filter(|_| !said)
                .map(|there| (*theirs, there)),
        );
    }
    if known.is_empty() {
        let having = VARIANTS
            .iter()
            .filter(|info| !convention.of(info).is_empty());
        let mut archs: Vec<&str> = having.map(|info| info.name).collect();
        archs.sort_unstable();
        let (archs, arch) = (archs.join(", "), setting.info.name);
        let why =
            format!("{name} has no coefficient of {arch}; set `model.arch` to one of: {archs}");
        return Err(Error::Conflict(why));
    }
    if given.is_empty() {
        let expected = format!("{name}:COEFFICIENT=NUMBER for {}", setting.info.name);
        return Err(Error::hyper("from", &expected, spec));
    }
    convert(convention, &given, setting, rows)
}

/// Parses one `coefficient=number`; the name is that of the convention or ours.
fn number(
    pair: &str,
    convention: &'static Convention,
    known: &[&'static Theirs],
    setting: &Setting,
) -> Result<(&'static Theirs, f64)> {
    let wrong = || {
        Error::hyper(
            "the published coefficients",
            "COEFFICIENT=NUMBER after the colon",
            pair,
        )
    };
    let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
    let value: f64 = value.trim().parse().map_err(|_| wrong())?;
    let key = key.trim().replace('-', "_");
    if !value.is_finite() {
        return Err(wrong());
    }
    let named = |t: &&&'static Theirs| t.name == key || t.option == key;
    if let Some(theirs) = known.iter().find(named) {
        return Ok((theirs, value));
    }
    let mut all = VARIANTS.iter().flat_map(|info| convention.of(info));
    if let Some(other) = all.find(|other| named(&other)) {
        setting.expect(other.option)?;
    }
    let known = known.iter().map(|t| t.name);
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
        // Units of other numbers may depend on this one, as on the power p.
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

/// True if an option, or `decoder_norm`, has a value, or if the architecture lacks the option.
fn has(setting: &Setting, option: &str, value: &str) -> bool {
    let norm = (option == "decoder_norm").then(|| setting.decoder_norm.name());
    let given = setting.options.find(option).or(norm);
    given.is_none_or(|given| given == value)
}

#[cfg(test)]
mod tests;
