//! Names that most programs need: `use rarefy::prelude::*;`.
//!
//! ```
//! use rarefy::prelude::*;
//! let rows = Memory::new("four rows", 2, vec![0.1, 0.9, 0.9, 0.1, 0.2, 0.8, 0.8, 0.2]);
//! let model: Model = rarefy::kl().latents(2).steps(3).fit(&rows as &dyn Source)?;
//! assert_eq!(model.d_sae(), 2);
//! # Ok::<(), Error>(())
//! ```

#[doc(no_inline)]
pub use crate::builder::Builder;
#[doc(no_inline)]
pub use crate::codes::Codes;
#[doc(no_inline)]
pub use crate::config::Config;
#[doc(no_inline)]
pub use crate::data::{Dataset, Memory, OpenOptions, Rows, Source};
#[doc(no_inline)]
pub use crate::error::{Error, Result};
#[doc(no_inline)]
pub use crate::metrics::Evaluation;
#[doc(no_inline)]
pub use crate::model::Model;
#[doc(no_inline)]
pub use crate::plan::Plan;
#[doc(no_inline)]
pub use crate::train::{Observer, Progress};
#[doc(no_inline)]
pub use crate::trainer::{Trained, Trainer};
