//! Checks that data has the inputs and the target that a model was trained on.

use super::Model;
use crate::io_spec::IoSpec;
use crate::preprocess::Pipeline;
use crate::{Error, Result};

impl Model {
    /// Refuses data with other input widths than the model was trained on; `name` is the data's name in the message.
    ///
    /// # Errors
    /// [`Error::Shape`] with the expected and the given widths of the inputs, and the missing field.
    #[doc(hidden)]
    pub fn check_inputs(&self, name: &str, given: &IoSpec) -> Result<()> {
        let widths = self.raw_input_widths();
        if given.input_widths() == widths {
            return Ok(());
        }
        let sizes = |widths: &[usize]| {
            let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
            widths.join(" + ")
        };
        let hint = if widths.len() > given.input_widths().len() {
            "; set `data.with` to the crosscoder's further inputs"
        } else {
            ""
        };
        Err(Error::Shape {
            what: format!("{name}: values in a row"),
            expected: format!("{} as the model was trained on{hint}", sizes(&widths)),
            got: sizes(given.input_widths()),
        })
    }

    /// Refuses rows with other input or target columns than the model's.
    ///
    /// # Errors
    /// As [`Model::check_inputs`]; [`Error::Conflict`] for a missing or an unexpected target.
    #[doc(hidden)]
    pub fn check_given(&self, name: &str, given: &IoSpec) -> Result<()> {
        self.check_inputs(name, given)?;
        let expected = self.target_pipeline().map(Pipeline::d_in);
        match (expected, given.target_width()) {
            (expected, got) if expected == got => Ok(()),
            (Some(_), None) => Err(Error::Conflict(
                "the model is a transcoder: set `data.target` to the rows that it predicts".into(),
            )),
            (None, Some(_)) => Err(Error::Conflict(format!(
                "the model is an {} and reconstructs its own input: remove `data.target`",
                self.io_spec().name()
            ))),
            (expected, got) => Err(Error::Shape {
                what: "values in a row of the target".into(),
                expected: format!("{} as the model was trained on", expected.unwrap_or(0)),
                got: got.unwrap_or(0).to_string(),
            }),
        }
    }
}
