//! Parameters of the f64 twin as a flat vector of dual numbers.

use std::ops::Range;

use crate::objective::Dual;
use crate::params::Params;

/// Blocks of a flat vector of parameters.
pub(super) struct Weights<'a> {
    pub(super) like: &'a Params,
    pub(super) values: Vec<Dual>,
}

impl Weights<'_> {
    pub(super) fn block(&self, name: &str) -> &[Dual] {
        &self.values[self.range(name)]
    }

    pub(super) fn range(&self, name: &str) -> Range<usize> {
        let mut start = 0;
        for block in self.like.layout().blocks() {
            let end = start + block.rows * block.cols;
            if block.name == name {
                return start..end;
            }
            start = end;
        }
        panic!("no parameter block `{name}`")
    }
}

/// Parameters as dual numbers without slope.
pub(in crate::check) fn wide(params: &Params) -> Vec<Dual> {
    let values = params.values().iter();
    values.map(|&v| f64::from(v).into()).collect()
}
