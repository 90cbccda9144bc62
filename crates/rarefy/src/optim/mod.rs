//! Optimisers over one flat vector of parameters.

pub mod descent;
mod function;
pub mod lbfgs;
mod schedule;
mod wolfe;

pub use descent::Descent;
pub use function::Function;
pub use lbfgs::{Lbfgs, LbfgsStep};
pub use schedule::{LrShape, Schedule};
