//! Response of the latents of a model to rows: firing rates, most active rows, names, neighbours, and the association of each
//! latent with a class or a score.

mod lens;
mod map;
mod names;
mod neighbours;
mod probe;
mod responses;
mod significance;
mod target;

use serde::Serialize;

use crate::data::{Dataset, Source};
use crate::metrics::{ACTIVE, keep_strongest, offer};
use crate::model::Model;
use crate::variants::Architecture;
use crate::{Result, codes::Codes};

pub use lens::{Lens, lens};
pub use map::map;
pub use names::{FOR_NAMES, Search, Words, names};
pub use neighbours::{Neighbour, nearest};
pub use probe::{Features, Probe, probe};
pub(crate) use responses::Gathering;
pub use responses::{Example, Histogram, Responses};
pub use target::{Association, Kind, Target, associations};

/// Number of rows that are encoded at a time.
const ROWS: usize = 4096;

/// A latent over the rows of a data set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Latent {
    /// Number of the latent, from 0.
    pub latent: usize,
    /// Words or labels of the rows on which the latent is most active; empty if the rows have neither, or nothing in
    /// common.
    pub name: String,
    /// Share of rows on which the latent is active: a sigmoid latent above 0.5, a sparse latent other than 0.
    pub firing_rate: f64,
    /// Mean activation over the rows on which the latent is active; 0 if there are none.
    pub mean: f64,
    /// Largest activation by absolute value; 0 if the latent is active on no row.
    pub max: f64,
    /// Rows with the largest activations by absolute value, the strongest first.
    pub top: Vec<TopRow>,
}

/// A row on which a latent is active.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TopRow {
    /// Number of the row, from 0.
    pub row: usize,
    /// Activation of the latent.
    pub activation: f32,
}

/// Measures all latents over all rows, with the `top` most active rows of each. Names come from texts and labels, if the
/// data has any.
///
/// # Errors
/// Errors of reading the rows.
///
/// # Example
/// ```
/// use rarefy::latents::measure;
/// let digits = rarefy::data::open("sample:digits", &Default::default())?;
/// let model = rarefy::topk(4).latents(32).steps(200).batch(128).fit(&digits)?;
/// let latents = measure(&model, &digits, 10)?;
/// let active: f64 = latents.iter().map(|latent| latent.firing_rate).sum();
/// assert_eq!((latents.len(), active.round()), (32, 4.0)); // 4 of 32 latents are active on each row
/// # Ok::<(), rarefy::Error>(())
/// ```
pub fn measure(model: &Model, data: &Dataset, top: usize) -> Result<Vec<Latent>> {
    let source = data.source.as_ref();
    let kept = top.max(FOR_NAMES);
    let mut sums = vec![Sums::default(); model.d_sae()];
    let above = active_above(model);
    each_piece(model, source, &mut |start, codes| {
        for (i, ends) in codes.offsets.windows(2).enumerate() {
            for at in ends[0]..ends[1] {
                let value = codes.values[at];
                let latent = &mut sums[codes.indices[at] as usize];
                if value.abs() > above {
                    latent.active += 1;
                    latent.sum += f64::from(value);
                }
                offer(&mut latent.top, (start + i, value), kept);
            }
        }
    })?;
    let rows = source.rows() as f64;
    let latent = |(latent, mut sums): (usize, Sums)| {
        keep_strongest(&mut sums.top, kept);
        let top = sums.top.iter();
        let top = top.map(|&(row, activation)| TopRow { row, activation });
        Latent {
            latent,
            name: String::new(),
            firing_rate: sums.active as f64 / rows,
            mean: sums.sum / (sums.active as f64).max(1.0),
            max: sums.top.first().map_or(0.0, |(_, value)| f64::from(*value)),
            top: top.collect(),
        }
    };
    let mut latents: Vec<Latent> = sums.into_iter().enumerate().map(latent).collect();
    let tops: Vec<&[TopRow]> = latents.iter().map(|latent| &*latent.top).collect();
    let names = names(&tops, data);
    for (latent, name) in latents.iter_mut().zip(names) {
        latent.name = name;
        latent.top.truncate(top);
    }
    Ok(latents)
}

/// Sums over the rows on which a latent is active.
#[derive(Clone, Default)]
struct Sums {
    active: u64,
    sum: f64,
    top: Vec<(usize, f32)>,
}

/// Absolute value above which a latent counts as active.
fn active_above(model: &Model) -> f32 {
    match model.architecture() {
        Architecture::Dense(_) => ACTIVE,
        Architecture::Sparse(_) => 0.0,
    }
}

/// Calls `work(first_row, codes)` for consecutive pieces of [`ROWS`] rows, in order.
fn each_piece(
    model: &Model,
    source: &dyn Source,
    work: &mut dyn FnMut(usize, &Codes),
) -> Result<()> {
    for start in (0..source.rows()).step_by(ROWS) {
        let rows = start..source.rows().min(start + ROWS);
        work(start, &model.encode_range(source, rows, 0.0)?);
    }
    Ok(())
}
