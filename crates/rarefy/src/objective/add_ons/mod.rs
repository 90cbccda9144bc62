//! Add-ons: optional parts of an objective, one file and one table line each.
//!
//! An add-on has options of its own, which by their defaults do nothing. They appear with every architecture that the
//! add-on applies to: flags, configuration keys, lists, gradient checks.

mod frequency;
mod multi_topk;
mod orthogonality;

use super::Objective;
use crate::options::{OptionInfo, Options};

/// Optional parts of an objective, in the order in which they are added.
pub const ADD_ONS: &[AddOn] = &[
    super::errors::ADD_ON,
    frequency::ADD_ON,
    multi_topk::ADD_ON,
    orthogonality::ADD_ON,
];

/// Optional part of an objective, added to every architecture that it applies to.
pub struct AddOn {
    /// Name, for lists.
    pub name: &'static str,
    /// One sentence for lists and help.
    pub summary: &'static str,
    /// Publication of the add-on.
    pub source: &'static str,
    /// Options; by their defaults the add-on does nothing.
    pub options: &'static [OptionInfo],
    /// Settings of the options under which gradients are checked.
    pub checks: &'static [&'static [(&'static str, &'static str)]],
    /// True for an objective to which the part can be added.
    pub applies: fn(&Objective) -> bool,
    /// Objective with the part that the options ask for.
    pub add: fn(&Options, Objective) -> Objective,
}
