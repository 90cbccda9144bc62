//! Optimisers of one flat vector of parameters, and learning rate schedules.

pub mod descent;
mod function;
pub mod lbfgs;
mod schedule;
mod wolfe;

pub use descent::Descent;
pub use function::Function;
pub use lbfgs::{Lbfgs, LbfgsStep};
pub use schedule::{LrShape, Schedule};
