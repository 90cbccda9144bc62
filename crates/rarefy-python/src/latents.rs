//! Latents of a model on rows: responses, associations, the explorer.

use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use rarefy::data::{Columns, Dataset, OpenOptions};
use rarefy::latents::{self, Kind, Target};
use rarefy::recipe::Evaluated;
use rarefy::{Error, Result};
use rarefy_run::report;
use rarefy_run::tokens::Tokens;
use serde_json::{Value, json};

use crate::input::{Input, View, with_cells};
use crate::model::Model;
use crate::watch::{self, Watch};

/// Number of neighbours of a latent.
const NEAREST: usize = 10;

/// Rows with their labels and texts.
fn dataset<'d, 'a: 'd>(
    model: &rarefy::model::Model,
    view: View<'a>,
    watch: &'d Watch,
    (labels, texts): (Option<Vec<String>>, Option<Vec<String>>),
) -> Result<Dataset<'d>> {
    let data = view.dataset(watch, &OpenOptions::default())?;
    let (name, width) = (data.source.name(), data.source.d_in());
    if width != model.raw_d_in() {
        return Err(Error::Shape {
            what: format!("{name}: values in a row"),
            expected: format!("{} as the model was trained on", model.raw_d_in()),
            got: width.to_string(),
        });
    }
    with_cells(data, labels, texts)
}

/// Responses of all latents, as JSON.
#[pyfunction]
#[pyo3(signature = (model, rows, labels, texts, top))]
pub fn responses(
    py: Python<'_>,
    model: &Bound<'_, Model>,
    rows: Input<'_>,
    labels: Option<Vec<String>>,
    texts: Option<Vec<String>>,
    top: usize,
) -> PyResult<String> {
    let (view, model) = (rows.view(), &model.get().0);
    watch::run(py, None, None, |watch| {
        let data = dataset(model, view, watch, (labels, texts))?;
        let measured = latents::measure(model, &data, top)?;
        let nearest = latents::nearest(model, NEAREST);
        let of = |(latent, near): (&latents::Latent, &Vec<latents::Neighbour>)| {
            let mut value = json!(latent);
            value["nearest"] = json!(near);
            let cell = |cells: &Option<Vec<String>>, row: usize| {
                cells.as_ref().map(|cells| cells[row].clone())
            };
            value["top"] = latent
                .top
                .iter()
                .map(|top| {
                    json!({"row": top.row, "activation": top.activation,
                           "label": cell(&data.labels, top.row), "text": cell(&data.texts, top.row)})
                })
                .collect();
            value
        };
        let all: Vec<Value> = measured.iter().zip(&nearest).map(of).collect();
        Ok(json!(all).to_string())
    })
}

/// Association of latents with the texts that contain `words`, or with labels, as JSON.
#[pyfunction]
#[pyo3(signature = (model, rows, cells, words, kind))]
pub fn associations(
    py: Python<'_>,
    model: &Bound<'_, Model>,
    rows: Input<'_>,
    cells: Option<Vec<String>>,
    words: Option<String>,
    kind: Option<&str>,
) -> PyResult<String> {
    let kind = match kind {
        Some("score") => Kind::Score,
        Some(_) => Kind::Class,
        None => Kind::Auto,
    };
    let (view, model) = (rows.view(), &model.get().0);
    watch::run(py, None, None, |watch| {
        let given = if words.is_some() {
            (None, cells)
        } else {
            (cells, None)
        };
        let data = dataset(model, view, watch, given)?;
        let missing =
            |what: &str| Error::Conflict(format!("`{what}` must be given: one for each row"));
        let target = match &words {
            Some(words) => {
                let texts = data.texts.as_ref().or(data.labels.as_ref());
                Target::of_words(texts.ok_or_else(|| missing("texts"))?, words)?
            }
            None => Target::of_labels(data.labels.as_ref().ok_or_else(|| missing("y"))?, kind)?,
        };
        let source = data.source.as_ref();
        let mut found = latents::associations(model, source, &target)?;
        if words.is_some() {
            // Few rows have the words, so the strongest activations say more than the test of one latent.
            found.retain(|association| association.correlation > 0.0);
            found.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
        }
        let probe = match words {
            Some(_) => None,
            None => Some(latents::probe(model, source, &target)?),
        };
        let probe = probe.map(|(baseline, probes)| json!({"baseline": baseline, "probes": probes}));
        Ok(json!({"associations": found, "probe": probe}).to_string())
    })
}

/// The explorer, as HTML.
#[pyfunction]
#[pyo3(signature = (model, rows, labels, texts, image_shape, unembedding, vocabulary))]
#[allow(
    clippy::too_many_arguments,
    reason = "a function of Python, called with names"
)]
pub fn page(
    py: Python<'_>,
    model: &Bound<'_, Model>,
    rows: Input<'_>,
    labels: Option<Vec<String>>,
    texts: Option<Vec<String>>,
    image_shape: Option<(usize, usize)>,
    unembedding: Option<PyReadonlyArray2<'_, f32>>,
    vocabulary: Option<Vec<String>>,
) -> PyResult<String> {
    let (view, model) = (rows.view(), &model.get().0);
    let unembedding = unembedding
        .as_ref()
        .map(|matrix| matrix.as_slice())
        .transpose()?;
    watch::run(py, None, None, |watch| {
        let mut data = dataset(model, view, watch, (labels, texts))?;
        data.image_shape = image_shape.or(model.image_shape());
        let copy;
        let model = if image_shape.is_some() && image_shape != model.image_shape() {
            copy = rarefy::model::Model::new(model.description().clone())?
                .with_image_shape(image_shape);
            &copy
        } else {
            model.as_ref()
        };
        let inputs = Columns::new(data.source.as_ref(), 0..model.raw_d_in());
        let (evaluated, responses) = Evaluated::with_responses(model, &inputs, 0)?;
        let tokens = match (unembedding, vocabulary) {
            (Some(matrix), Some(words)) => Some(Tokens::new(matrix, words, model)?),
            _ => None,
        };
        report::page(
            None,
            model,
            &data,
            (&evaluated, &responses),
            tokens.as_ref(),
        )
    })
}
