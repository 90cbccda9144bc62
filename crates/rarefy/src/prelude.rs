//! Names that most programs need: `use rarefy::prelude::*;`.
//!
//! ```
//! use rarefy::prelude::*;
//! let rows = Memory::new("four rows", 2, vec![0.1, 0.9, 0.9, 0.1, 0.2, 0.8, 0.8, 0.2]);
//! let model: Model = rarefy::kl().latents(2).steps(3).fit(&rows as &dyn Source)?;
//! assert_eq!(model.d_sae(), 2);
//! # Ok::<(), Error>(())
//! ```

pub use crate::builder::Builder;
pub use crate::codes::Codes;
pub use crate::config::Config;
pub use crate::data::{Dataset, Memory, OpenOptions, Rows, Source};
pub use crate::error::{Error, Result};
pub use crate::metrics::Evaluation;
pub use crate::model::Model;
pub use crate::plan::Plan;
pub use crate::train::{Observer, Progress};
pub use crate::trainer::{Trained, Trainer};
