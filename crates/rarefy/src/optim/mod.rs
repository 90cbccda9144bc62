//! Optimisers over one flat vector of parameters.

pub mod descent;
pub mod lbfgs;
mod wolfe;

pub use descent::{Descent, schedule};
pub use lbfgs::{Lbfgs, Step};
