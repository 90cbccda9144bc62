//! Association of each latent with a class, a score, or words of the rows' texts.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::significance::{false_discovery_rates, of_correlation, of_table};
use super::{Search, Words, active_above, each_piece};
use crate::data::Source;
use crate::model::Model;
use crate::{Error, Result};

/// Largest number of classes.
const MOST_CLASSES: usize = 1000;
/// Number of different whole numbers up to which labels are classes.
const FEW_NUMBERS: usize = 20;

/// Quality of each row that latents are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A number for each row; `None` where it is missing.
    Score(Vec<Option<f64>>),
    /// A class for each row.
    Class {
        /// Names of the classes.
        names: Vec<String>,
        /// Class of each row; `None` where it is missing.
        of_rows: Vec<Option<u32>>,
    },
}

/// Reading of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbers, if they have fractions or more than 20 different values; else classes.
    Auto,
    /// Numbers, in every case.
    Score,
    /// Classes, in every case.
    Class,
}

/// Labels that stand for a missing number, besides the empty one.
const MISSING: [&str; 10] = [
    "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NULL", "null", "None", "none",
];
/// Share of the labels that are numbers from which on all other labels are mistakes.
const MOSTLY: f64 = 0.9;

impl Target {
    /// Target of the labels of all rows; an empty label is missing, and `NA`, `nan`, `null`, `None` among numbers are too.
    ///
    /// # Errors
    /// [`Error::Shape`] for a label that is no number where a score is asked for or nearly all others are numbers, with its row; for a
    /// single class, and for more than 1000.
    ///
    /// # Example
    /// ```
    /// use rarefy::latents::{Kind, Target};
    /// let labels = ["1.5", "NA", "2"].map(str::to_owned);
    /// assert_eq!(Target::of_labels(&labels, Kind::Auto)?, Target::Score(vec![Some(1.5), None, Some(2.0)]));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn of_labels(labels: &[String], kind: Kind) -> Result<Self> {
        if kind == Kind::Score || (kind == Kind::Auto && are_scores(labels)) {
            return Self::of_numbers(labels);
        }
        let mut classes: BTreeMap<&str, u32> = BTreeMap::new();
        for label in labels.iter().filter(|label| !label.is_empty()) {
            classes.entry(label).or_default();
        }
        if !(2..=MOST_CLASSES).contains(&classes.len()) {
            let expected = format!("numbers, or 2 to {MOST_CLASSES} classes");
            return Err(shape(
                &expected,
                format!("{} different words", classes.len()),
            ));
        }
        for (number, class) in classes.values_mut().enumerate() {
            *class = number as u32;
        }
        Ok(Self::Class {
            of_rows: labels
                .iter()
                .map(|label| classes.get(&**label).copied())
                .collect(),
            names: classes.into_keys().map(str::to_owned).collect(),
        })
    }

    fn of_numbers(labels: &[String]) -> Result<Self> {
        let is_bad = |label: &&String| !is_missing(label) && finite(label).is_none();
        if let Some(row) = labels.iter().position(|label| is_bad(&label)) {
            let bad = labels.iter().filter(is_bad).count();
            let others = match bad - 1 {
                0 => String::new(),
                others => format!(", and {others} more"),
            };
            let expected = "numbers (leave a missing one empty, or write NA)";
            return Err(shape(
                expected,
                format!("`{}` in row {row}, counted from 0{others}", labels[row]),
            ));
        }
        if labels.iter().all(|label| is_missing(label)) {
            return Err(shape("numbers", "no number in any row".into()));
        }
        Ok(Self::Score(
            labels.iter().map(|label| finite(label)).collect(),
        ))
    }

    /// Target of the texts that contain all words, against all other texts; `word*` stands for all words that begin so.
    ///
    /// # Errors
    /// [`Error::Shape`] if no text, or every text, contains the words.
    pub fn of_words(texts: &[String], words: &str) -> Result<Self> {
        let search = Search::of(words);
        let found = |text: &String| Some(u32::from(!search.finds(&Words::of(text))));
        let of_rows: Vec<Option<u32>> = texts.iter().map(found).collect();
        let count = of_rows.iter().filter(|class| **class == Some(0)).count();
        if count == 0 || count == texts.len() {
            let got = format!("{count} of {}", texts.len());
            return Err(Error::Shape {
                what: format!("search for `{words}`"),
                expected: "some texts that have the words, and some that have not (words are whole; `word*` finds beginnings)"
                    .into(),
                got: format!("{got} texts that have them"),
            });
        }
        Ok(Self::Class {
            names: vec![words.to_owned(), String::new()],
            of_rows,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Score(scores) => scores.len(),
            Self::Class { of_rows, .. } => of_rows.len(),
        }
    }

    /// Number of rows whose score or class is missing.
    pub fn missing(&self) -> usize {
        match self {
            Self::Score(scores) => scores.iter().filter(|score| score.is_none()).count(),
            Self::Class { of_rows, .. } => of_rows.iter().filter(|class| class.is_none()).count(),
        }
    }
}

/// True if labels are numbers with fractions, or many different ones; a few that are no numbers are mistakes.
fn are_scores(labels: &[String]) -> bool {
    let given = labels.iter().filter(|label| !is_missing(label)).count();
    let numbers: Vec<f64> = labels.iter().filter_map(|label| finite(label)).collect();
    let different: BTreeSet<u64> = numbers.iter().map(|number| number.to_bits()).collect();
    let is_score = different.len() > FEW_NUMBERS || numbers.iter().any(|v| v.fract() != 0.0);
    is_score && numbers.len() as f64 >= MOSTLY * given as f64
}

fn is_missing(label: &str) -> bool {
    label.is_empty() || MISSING.contains(&label)
}

/// Number of a label.
fn finite(label: &str) -> Option<f64> {
    label.parse().ok().filter(|v: &f64| v.is_finite())
}

fn shape(expected: &str, got: String) -> Error {
    Error::Shape {
        what: "target".into(),
        expected: expected.into(),
        got,
    }
}

/// Association of a latent with a class or with the score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Association {
    /// Number of the latent, from 0.
    pub latent: usize,
    /// Class; `None` for a score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Correlation over rows of the activation with the score, or with membership in the class.
    pub correlation: f64,
    /// Odds ratio of the latent being active in the class and elsewhere, `(a + 1/2)(d + 1/2) / ((b + 1/2)(c + 1/2))` for
    /// the counts `[[a, b], [c, d]]`; `None` for a score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odds_ratio: Option<f64>,
    /// Share of the active rows that are of the class; for a score its mean over the active rows.
    pub active: f64,
    /// Share of the other rows that are of the class; for a score its mean over the other rows.
    pub inactive: f64,
    /// Two-sided p-value: Fisher's test of the counts, or Student's test of the correlation with a score.
    pub p: f64,
    /// False discovery rate (Benjamini and Hochberg) over all latents, and over all active latents and classes.
    pub q: f64,
}

/// Sums over rows of one latent: activations, and how often it is active, for each class or for the score.
#[derive(Clone)]
struct Sums {
    values: f64,
    squares: f64,
    /// For each class, rows on which the latent is active, and the sum of activations. For a score, one entry with the sum
    /// of scores over active rows, and of the products with activations.
    of_class: Vec<[f64; 2]>,
    active: f64,
}

/// Associations of all latents with the target, the strongest first: by p-value, then by the size of the correlation (a score) or
/// Pearson's statistic of the counts. Latents that are active on no row have no counts, and are left out for classes.
///
/// # Errors
/// [`Error::Shape`] if the target has another number of rows; errors of reading the rows.
///
/// # Example
/// ```
/// use rarefy::latents::{Kind, Target, associations};
/// let digits = rarefy::data::open("sample:digits", &Default::default())?;
/// let model = rarefy::topk(4).latents(32).steps(200).batch(128).fit(&digits)?;
/// let target = Target::of_labels(digits.labels.as_deref().unwrap(), Kind::Auto)?;
/// let found = associations(&model, digits.source.as_ref(), &target)?;
/// assert_eq!(found.len(), 32 * 10);
/// assert!(found[0].q < 1e-9 && found[0].correlation > 0.3);
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn associations(
    model: &Model,
    source: &dyn Source,
    target: &Target,
) -> Result<Vec<Association>> {
    if target.rows() != source.rows() {
        let expected = format!("{}, one for each row", source.rows());
        return Err(shape(&expected, target.rows().to_string()));
    }
    let mut found = match target {
        Target::Score(scores) => with_score(model, source, scores)?,
        Target::Class { names, of_rows } => with_classes(model, source, names, of_rows)?,
    };
    let rates = false_discovery_rates(&found.iter().map(|(_, a)| a.p).collect::<Vec<_>>());
    for ((_, association), rate) in found.iter_mut().zip(rates) {
        association.q = rate;
    }
    found.sort_by(|a, b| a.1.p.total_cmp(&b.1.p).then(b.0.total_cmp(&a.0)));
    Ok(found
        .into_iter()
        .map(|(_, association)| association)
        .collect())
}

/// Sums of each latent; `of_row` gives the class of a row and what an active row adds, or nothing for a row that is
/// missing.
fn sums(
    model: &Model,
    source: &dyn Source,
    classes: usize,
    of_row: &dyn Fn(usize) -> Option<(usize, f64)>,
) -> Result<Vec<Sums>> {
    let none = Sums {
        values: 0.0,
        squares: 0.0,
        of_class: vec![[0.0; 2]; classes],
        active: 0.0,
    };
    let mut sums = vec![none; model.d_sae()];
    let above = active_above(model);
    each_piece(model, source, &mut |start, codes| {
        for (i, ends) in codes.offsets.windows(2).enumerate() {
            let Some((class, weight)) = of_row(start + i) else {
                continue;
            };
            for at in ends[0]..ends[1] {
                let value = f64::from(codes.values[at]);
                let latent = &mut sums[codes.indices[at] as usize];
                latent.values += value;
                latent.squares += value * value;
                let [count, products] = &mut latent.of_class[class];
                *products += weight * value;
                if codes.values[at].abs() > above {
                    latent.active += 1.0;
                    *count += weight;
                }
            }
        }
    })?;
    Ok(sums)
}

/// Correlation from sums over n rows; 0 if a variance is 0.
fn correlation(n: f64, [x, xx]: [f64; 2], [y, yy]: [f64; 2], xy: f64) -> f64 {
    let (of_x, of_y) = (n * xx - x * x, n * yy - y * y);
    if of_x <= 0.0 || of_y <= 0.0 {
        return 0.0;
    }
    ((n * xy - x * y) / (of_x * of_y).sqrt()).clamp(-1.0, 1.0)
}

fn with_score(
    model: &Model,
    source: &dyn Source,
    scores: &[Option<f64>],
) -> Result<Vec<(f64, Association)>> {
    let known: Vec<f64> = scores.iter().flatten().copied().collect();
    let n = known.len() as f64;
    // Less their mean, so that sums of squares keep their digits.
    let mean = known.iter().sum::<f64>() / n.max(1.0);
    let square: f64 = known.iter().map(|y| (y - mean).powi(2)).sum();
    let of_row = |row: usize| scores[row].map(|y| (0, y - mean));
    let sums = sums(model, source, 1, &of_row)?;
    let association = |(latent, sums): (usize, Sums)| {
        let [over_active, products] = sums.of_class[0];
        let r = correlation(n, [sums.values, sums.squares], [0.0, square], products);
        let association = Association {
            latent,
            class: None,
            correlation: r,
            odds_ratio: None,
            active: mean + over_active / sums.active.max(1.0),
            inactive: mean - over_active / (n - sums.active).max(1.0),
            p: of_correlation(r, n),
            q: 1.0,
        };
        (r.abs(), association)
    };
    Ok(sums.into_iter().enumerate().map(association).collect())
}

fn with_classes(
    model: &Model,
    source: &dyn Source,
    names: &[String],
    of_rows: &[Option<u32>],
) -> Result<Vec<(f64, Association)>> {
    let mut sizes = vec![0.0; names.len()];
    for class in of_rows.iter().flatten() {
        sizes[*class as usize] += 1.0;
    }
    let n: f64 = sizes.iter().sum();
    let of_row = |row: usize| of_rows[row].map(|class| (class as usize, 1.0));
    let sums = sums(model, source, names.len(), &of_row)?;
    // Of two classes, one says all; the unnamed class is all others.
    let shown = if names.len() == 2 && names[1].is_empty() {
        1
    } else {
        names.len()
    };
    let mut found = Vec::new();
    let active = |(_, sums): &(usize, &Sums)| sums.active > 0.0;
    for (latent, sums) in sums.iter().enumerate().filter(active) {
        for (class, &size) in sizes.iter().enumerate().take(shown) {
            let [a, products] = sums.of_class[class];
            let (b, c) = (sums.active - a, size - a);
            let d = n - a - b - c;
            let (statistic, p) = of_table([a, b, c, d]);
            let association = Association {
                latent,
                class: Some(names[class].clone()),
                correlation: correlation(n, [sums.values, sums.squares], [size, size], products),
                odds_ratio: Some((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5))),
                active: a / sums.active.max(1.0),
                inactive: c / (n - sums.active).max(1.0),
                p,
                q: 1.0,
            };
            found.push((statistic, association));
        }
    }
    Ok(found)
}
