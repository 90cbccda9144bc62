//! Sparse autoencoders, exact and fast.
//!
//! From data to a trained model in a few lines: open rows, fit the preprocessing, check what the
//! user wants against the data ([`plan::Plan`]), train.
//!
//! ```
//! use rarefy::preprocess::{Pipeline, Prepared};
//! use rarefy::{config, data, plan::Plan, train};
//!
//! let digits = data::open("sample:digits", &Default::default())?;
//! let pipeline = Pipeline::fit(&["scale".into()], digits.source.as_ref())?;
//! let rows = Prepared::new(digits.source.as_ref(), &pipeline);
//! let config = config::merge(&["[model]\nlatents = 25\n[train]\nsteps = 20".parse().unwrap()])?;
//! let plan = Plan::new(&config, &data::survey(&rows)?)?;
//! let start = train::State::new(&plan, &rows, None)?;
//! let outcome = train::train(&plan, &rows, start, &mut train::Silent)?;
//! assert_eq!(outcome.reason, "all 20 iterations done");
//! # Ok::<(), rarefy::Error>(())
//! ```
//!
//! A new architecture is one file in [`variants`] and one line of its table; the crate's
//! `ARCHITECTURE.md` has the layers and the invariants.
#![forbid(unsafe_code)]

pub mod atomic;
pub mod builder;
pub mod check;
pub mod codes;
pub mod config;
pub mod data;
pub mod engine;
mod error;
pub mod explain;
pub mod formats;
pub mod io_spec;
pub mod metrics;
pub mod model;
pub mod objective;
pub mod optim;
pub mod options;
pub mod params;
pub mod penalty;
pub mod plan;
pub mod preprocess;
pub mod recipe;
pub mod synth;
mod tensors;
pub mod train;
pub mod trainer;
pub mod variants;

pub use builder::{
    Builder, abs_topk, architecture, batch_topk, gated, groupmax, jumprelu, kl, matching_pursuit,
    matryoshka, relu, topk,
};
pub use data::Rows;
pub use error::{Error, Result, nearest};
pub use trainer::{Trained, Trainer};

/// The generator of every random number: seeded by the caller, its stream pinned for ever.
pub type Rng = rand_xoshiro::Xoshiro256PlusPlus;

/// The README's example is compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
