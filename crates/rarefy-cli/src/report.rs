//! From an evaluated model to the plain record that the report draws.

use rarefy::data::Dataset;
use rarefy::metrics::Evaluation;
use rarefy::model::Model;
use rarefy::{Result, atomic};

use crate::run::Run;

/// Writes `report.html`.
pub fn write(run: &Run, model: &Model, data: &Dataset, evaluation: &Evaluation) -> Result<()> {
    let _ = (model, data, evaluation);
    atomic::write(run.report_path(), |out| out.write_all(b""))
}
