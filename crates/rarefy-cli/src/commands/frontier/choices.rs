//! Lists of latents and of k, and places of models in a frontier.

use rarefy::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::cli::FrontierArgs;

/// Choices of this call or of the frontier to resume; empty for the defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// Numbers of latents, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub latents: Vec<usize>,
    /// Settings of `k`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub k: Vec<f64>,
}

impl Choices {
    /// True if all choices are the defaults.
    pub fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Choices of this call beside those of the frontier to resume, each once, in rising order.
    pub fn of(args: &FrontierArgs, before: Option<&Self>) -> Result<Self> {
        let mut of = before.cloned().unwrap_or_default();
        if args.latents.len() > 1 && before.is_some() && of.latents.is_empty() {
            let why =
                "the frontier to resume has one number of latents; give another --out for several";
            return Err(Error::Conflict(why.into()));
        }
        if args.latents.len() > 1 || !of.latents.is_empty() {
            of.latents.extend(&args.latents);
        }
        of.latents.sort_unstable();
        of.latents.dedup();
        if let Some(bad) = args.k.iter().find(|k| !(**k > 0.0 && k.is_finite())) {
            return Err(Error::hyper("--k", "finite numbers above 0", bad));
        }
        of.k.extend(&args.k);
        of.k.sort_by(f64::total_cmp);
        of.k.dedup();
        Ok(of)
    }
}

/// Place of a model in the frontier: architecture, number of latents if there are several, and setting.
pub type Place<'a> = (&'a str, Option<usize>, &'a str);
