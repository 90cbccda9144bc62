//! `frontier.json`: points of a frontier with their configuration and data. The file has no times, so two runs of
//! one seed are equal byte for byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rarefy::config;
use rarefy::{Error, Result, atomic};
use rarefy_report::{FrontierLine, FrontierPoint, frontier_plot};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::choices::{Choices, Place};

/// Version of the file's layout.
const VERSION: u32 = 1;

/// Content of `frontier.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    pub version: u32,
    /// Fingerprint of the training rows.
    pub data: String,
    /// Settings shared by all models, as keys of a configuration.
    pub config: Value,
    /// L0 at which architectures are compared.
    pub at_l0: f64,
    /// Numbers of latents and settings of k, where they are not the defaults.
    #[serde(skip_serializing_if = "Choices::are_none", default)]
    pub choices: Choices,
    pub architectures: Vec<Architecture>,
    pub points: Vec<Point>,
    pub skipped: Vec<Skipped>,
}

/// Architecture of the frontier, with its result at the common L0.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    pub arch: String,
    /// Number of latents, if the frontier has several.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latents: Option<usize>,
    /// Explained variance interpolated at `at_l0`; `None` unless points lie on both sides.
    pub explained_variance_at: Option<f64>,
}

/// A trained model, measured on the rows that were held out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    pub arch: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latents: Option<usize>,
    pub option: String,
    pub setting: String,
    pub l0: f64,
    pub explained_variance: f64,
    /// Number of latents that no row kept for `dead_after` rows at the end of training.
    pub dead_latents: usize,
    /// Training time in seconds, if the model was trained in this call; not in the file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seconds: Option<f64>,
}

/// A setting without a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    pub arch: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latents: Option<usize>,
    pub option: String,
    pub setting: String,
    pub why: String,
}

impl Architecture {
    /// Architecture and number of latents, as a phrase.
    pub fn name(&self) -> String {
        match self.latents {
            Some(latents) => format!("{} {latents}", self.arch),
            None => self.arch.clone(),
        }
    }

    /// True for a point of this line.
    pub fn has(&self, point: &Point) -> bool {
        (&self.arch, self.latents) == (&point.arch, point.latents)
    }
}

impl Point {
    fn place(&self) -> Place<'_> {
        (&self.arch, self.latents, &self.setting)
    }
}

impl Skipped {
    fn place(&self) -> Place<'_> {
        (&self.arch, self.latents, &self.setting)
    }
}

impl Results {
    /// Results of a new frontier, without points.
    pub fn new(
        data: &str,
        config: Value,
        architectures: &[&str],
        choices: Choices,
        at_l0: f64,
    ) -> Self {
        let widths = choices.latents.iter().copied().map(Some);
        let widths: Vec<Option<usize>> = widths.collect();
        let widths = if widths.is_empty() {
            vec![None]
        } else {
            widths
        };
        let of = |arch: &&str| {
            let arch = (*arch).to_owned();
            let architecture = move |latents: &Option<usize>| Architecture {
                arch: arch.clone(),
                latents: *latents,
                explained_variance_at: None,
            };
            widths.iter().map(architecture).collect::<Vec<_>>()
        };
        Self {
            version: VERSION,
            data: data.into(),
            config,
            at_l0,
            architectures: architectures.iter().flat_map(of).collect(),
            choices,
            points: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Reads the file of [`Results::save`].
    pub fn load(folder: &Path) -> Result<Self> {
        let path = file(folder);
        if !path.exists() {
            let why = format!("{} has no frontier.json to resume from", folder.display());
            return Err(Error::Conflict(why));
        }
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let bad = |e: serde_json::Error| {
            Error::format(
                &path,
                format!("expected a file written by `rarefy frontier`: {e}"),
            )
        };
        let results: Self = serde_json::from_str(&text).map_err(bad)?;
        if results.version != VERSION {
            let why = format!("expected version {VERSION}, got {}", results.version);
            return Err(Error::format(&path, why));
        }
        Ok(results)
    }

    /// Configuration of the frontier as a layer.
    pub fn layer(&self, folder: &Path) -> Result<toml::Table> {
        let bad =
            |why: &dyn std::fmt::Display| Error::format(file(folder), format!("config: {why}"));
        let layer = toml::Table::try_from(&self.config).map_err(|e| bad(&e))?;
        config::merge(std::slice::from_ref(&layer)).map_err(|e| bad(&e))?;
        Ok(layer)
    }

    /// Compares the architectures again; writes the file and the plot atomically.
    pub fn save(&mut self, folder: &Path) -> Result<()> {
        let lines = self.lines();
        for (architecture, line) in self.architectures.iter_mut().zip(&lines) {
            architecture.explained_variance_at = line.at(self.at_l0);
        }
        let mut kept = self.clone();
        kept.points
            .iter_mut()
            .for_each(|point| point.seconds = None);
        let text = serde_json::to_string_pretty(&kept).expect("results are plain values") + "\n";
        atomic::write(file(folder), |out| out.write_all(text.as_bytes()))?;
        if self.points.is_empty() {
            return Ok(());
        }
        let svg = frontier_plot(&lines, Some(self.at_l0));
        atomic::write(plot(folder), |out| out.write_all(svg.as_bytes()))
    }

    /// Points by architecture, for every architecture in order.
    fn lines(&self) -> Vec<FrontierLine> {
        let of = |arch: &Architecture| {
            let points = self.points.iter().filter(|point| arch.has(point));
            let point = |point: &Point| FrontierPoint {
                setting: format!("{} {}", point.option, point.setting),
                l0: point.l0,
                explained_variance: point.explained_variance,
            };
            FrontierLine {
                name: arch.name(),
                points: points.map(point).collect(),
            }
        };
        self.architectures.iter().map(of).collect()
    }

    /// True if a place has a point or was skipped.
    pub fn has(&self, place: Place) -> bool {
        self.settled().contains(&place)
    }

    fn settled(&self) -> Vec<Place<'_>> {
        let points = self.points.iter().map(Point::place);
        points
            .chain(self.skipped.iter().map(Skipped::place))
            .collect()
    }

    /// Sorts the points by the frontier's architectures and settings, so that the order of training does not matter.
    pub fn sort(&mut self, order: &[Place]) {
        let of = |place: Place| order.iter().position(|at| *at == place);
        self.points.sort_by_key(|p| of(p.place()));
        self.skipped.sort_by_key(|s| of(s.place()));
    }

    /// Takes over the points of the frontier to resume; refuses other data, configurations or settings.
    pub fn go_on(&mut self, folder: &Path, before: Self, order: &[Place]) -> Result<()> {
        self.refuse_another(folder, &before)?;
        if let Some((arch, _, setting)) =
            before.settled().into_iter().find(|at| !order.contains(at))
        {
            let why = format!("this frontier no longer has the setting {setting} of {arch}");
            return Err(Error::format(file(folder), why));
        }
        self.points = before.points;
        self.skipped = before.skipped;
        Ok(())
    }

    fn refuse_another(&self, folder: &Path, before: &Self) -> Result<()> {
        let other = |before: &str, now: &str| {
            let file = file(folder);
            let file = file.display();
            let why = format!("{file} has {before}, and this call has {now}; give another --out");
            Err(Error::Conflict(why))
        };
        let (mut was, mut is) = (BTreeMap::new(), BTreeMap::new());
        flat("", &before.config, &mut was);
        flat("", &self.config, &mut is);
        let keys = was.keys().chain(is.keys());
        let differing = keys.filter(|key| was.get(*key) != is.get(*key)).min();
        if let Some(key) = differing {
            let said = |of: &BTreeMap<String, &Value>| match of.get(key) {
                Some(value) => format!("{key} {value}"),
                None => format!("no {key}"),
            };
            return other(&said(&was), &said(&is));
        }
        if before.data != self.data {
            return other(&format!("data with {}", before.data), &self.data);
        }
        Ok(())
    }
}

/// Every value under its dotted key.
fn flat<'a>(path: &str, value: &'a Value, into: &mut BTreeMap<String, &'a Value>) {
    let Value::Object(inner) = value else {
        into.insert(path.into(), value);
        return;
    };
    for (key, value) in inner {
        let dot = if path.is_empty() { "" } else { "." };
        flat(&format!("{path}{dot}{key}"), value, into);
    }
}

/// Path of `frontier.json`.
pub fn file(folder: &Path) -> PathBuf {
    folder.join("frontier.json")
}

/// Path of `frontier.svg`.
pub fn plot(folder: &Path) -> PathBuf {
    folder.join("frontier.svg")
}
