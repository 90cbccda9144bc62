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
//! The page `docs/rust.md` of the repository has further examples: options, preprocessing, held-out rows, observers,
//! checkpoints of a trainer. `ARCHITECTURE.md` has the layers and the invariants, `CONTRIBUTING.md` the steps for a new
//! architecture.
#![forbid(unsafe_code)]

#[doc(inline)]
pub use builder::{
    Builder, abs_topk, architecture, batch_topk, gated, groupmax, jumprelu, kl, matching_pursuit,
    matryoshka, relu, topk,
};
pub use data::Rows;
pub use error::{Error, Result};
#[doc(inline)]
pub use train::{Observer, Progress};
#[doc(inline)]
pub use trainer::{Trained, Trainer};

pub mod codes;
pub mod config;
pub mod data;
mod error;
pub mod metrics;
pub mod model;
pub mod plan;
pub mod prelude;

// Internal modules: the program, the tests and the developer commands use them. They may change in any release.
#[doc(hidden)]
pub mod atomic;
#[doc(hidden)]
pub mod builder;
#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod explain;
#[doc(hidden)]
pub mod formats;
#[doc(hidden)]
pub mod io_spec;
#[doc(hidden)]
pub mod latents;
#[doc(hidden)]
pub mod objective;
#[doc(hidden)]
pub mod optim;
#[doc(hidden)]
pub mod options;
#[doc(hidden)]
pub mod params;
#[doc(hidden)]
pub mod penalty;
#[doc(hidden)]
pub mod preprocess;
#[doc(hidden)]
pub mod recipe;
#[doc(hidden)]
pub mod stream;
#[doc(hidden)]
pub mod synth;
mod tensors;
#[doc(hidden)]
pub mod train;
#[doc(hidden)]
pub mod trainer;
#[doc(hidden)]
pub mod variants;

#[doc(hidden)]
pub use error::nearest;

/// Random number generator of the library (xoshiro256++), seeded by the caller. The same seed gives the same numbers on
/// every machine and in every release.
pub type Rng = rand_xoshiro::Xoshiro256PlusPlus;

/// The README's example is compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The examples of the page on the library, compiled and run with the other examples.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/rust.md")]
struct RustPage;
