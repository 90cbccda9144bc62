//! Type of an add-on: an optional part of an objective, with its options.

use super::Objective;
use crate::options::{OptionInfo, Options};

/// Optional part of an objective, added to every architecture that it applies to.
pub struct AddOn {
    /// Name, for lists.
    pub name: &'static str,
    /// One sentence for lists and help.
    pub summary: &'static str,
    /// Publication of the add-on.
    pub source: &'static str,
    /// Options; with their defaults the add-on does nothing.
    pub options: &'static [OptionInfo],
    /// Settings of the options under which gradients are checked.
    pub checks: &'static [&'static [(&'static str, &'static str)]],
    /// True for an objective to which the part can be added.
    pub applies: fn(&Objective) -> bool,
    /// Adds the part to an objective, as the options say.
    pub add: fn(&Options, Objective) -> Objective,
}
