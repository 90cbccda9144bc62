//! Sparse autoencoders, exact and fast.
//!
//! # Train, encode, evaluate
//!
//! One function for each architecture ([`topk`], [`jumprelu`], [`kl`] and others) starts a [`Builder`]; `fit` trains
//! on any rows: a file, a sample, a slice with its width.
//!
//! ```
//! let digits = rarefy::data::open("sample:digits", &Default::default())?;
//! let model = rarefy::topk(8).latents(128).steps(200).batch(256).fit(&digits)?;
//!
//! let evaluation = model.evaluate(&digits)?;
//! assert!(evaluation.explained_variance > 0.5);
//! assert!(evaluation.l0 <= 8.0); // active latents in a row
//!
//! let codes = model.encode(&digits)?; // sparse codes (CSR): 1797 rows of 128 latents
//! assert_eq!((codes.rows(), codes.d_sae), (1797, 128));
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("model");
//! model.save(&path)?;
//! let loaded = rarefy::model::Model::load(&path)?;
//! assert_eq!(loaded.encode(&digits)?.values, codes.values);
//! # Ok::<(), rarefy::Error>(())
//! ```
//!
//! # Push rows
//!
//! A [`Trainer`] takes one step for each batch that the caller pushes, for example activations of a running
//! language model. It owns all that it needs, so it can move to another thread, write checkpoints and resume.
//!
//! ```
//! let batch = |step: usize| -> Vec<f32> { (0..640).map(|i| ((step * 640 + i) as f32 * 0.7).sin()).collect() };
//! let first = batch(0);
//! // Preprocessing and initial weights follow from the first batch of 64 rows of 10 values.
//! let mut trainer = rarefy::batch_topk(3).latents(32).steps(30).batch(64).stream((&first, 10))?;
//! for step in 0..30 {
//!     let progress = trainer.step(&batch(step))?;
//!     assert_eq!(progress.step, step + 1);
//! }
//! let model = trainer.finish()?;
//! assert_eq!(model.encode((&first, 10))?.rows(), 64);
//! # Ok::<(), rarefy::Error>(())
//! ```
//!
//! # More control
//!
//! [`recipe`] has the parts of a run: open data, hold out rows, fit preprocessing, plan, train. [`config::Config`] holds
//! every setting, [`plan::Plan`] every resolved value, [`train::Observer`] reports progress and stops a run.
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
