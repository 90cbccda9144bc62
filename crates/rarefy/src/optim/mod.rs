//! Optimisers over one flat vector of parameters.

pub mod descent;
pub mod lbfgs;
mod schedule;
mod wolfe;

pub use descent::Descent;
pub use lbfgs::{Lbfgs, LbfgsStep};
pub use schedule::{LrShape, Schedule};
