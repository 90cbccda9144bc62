//! Add-ons: optional parts of an objective, one file and one table line each.
//!
//! With the defaults of its options an add-on does nothing. The options appear with every architecture that the add-on
//! applies to: flags, configuration keys, lists, gradient checks.

mod frequency;
mod multi_topk;
mod orthogonality;

use super::add_on::AddOn;

/// Optional parts of an objective, in the order in which they are added.
pub const ADD_ONS: &[AddOn] = &[
    super::errors::ADD_ON,
    frequency::ADD_ON,
    multi_topk::ADD_ON,
    orthogonality::ADD_ON,
];
