//! Shards: the rows of several files, one file after the other, as one source.

use std::path::PathBuf;

use super::{Dataset, Source};
use crate::{Error, Result};

/// Source that concatenates the rows of several sources with equal numbers of columns.
pub struct Shards {
    name: String,
    /// First row of each shard, then the total number of rows.
    starts: Vec<usize>,
    parts: Vec<Box<dyn Source>>,
}

impl Shards {
    /// Concatenates data sets, given with their paths. The result has labels only if every shard has labels.
    ///
    /// # Errors
    /// [`Error::Shape`] with the first shard whose number of columns differs; [`Error::Format`] if there is no
    /// shard.
    pub fn join(name: &str, datasets: Vec<(PathBuf, Dataset)>) -> Result<Dataset> {
        let mut datasets = datasets.into_iter();
        let Some((first_path, mut joined)) = datasets.next() else {
            return Err(Error::format(
                name,
                "expected at least one data file, got none",
            ));
        };
        let d_in = joined.source.d_in();
        let mut starts = vec![0, joined.source.rows()];
        let mut parts = Vec::new();
        for (path, dataset) in datasets {
            if dataset.source.d_in() != d_in {
                return Err(Error::Shape {
                    what: format!("{}: values in a row", path.display()),
                    expected: format!("{d_in} as in {}", first_path.display()),
                    got: dataset.source.d_in().to_string(),
                });
            }
            starts.push(starts[starts.len() - 1] + dataset.source.rows());
            parts.push(dataset.source);
            joined.labels = match (joined.labels, dataset.labels) {
                (Some(mut labels), Some(more)) => {
                    labels.extend(more);
                    Some(labels)
                }
                _ => None,
            };
        }
        parts.insert(0, joined.source);
        joined.source = Box::new(Self {
            name: name.into(),
            starts,
            parts,
        });
        Ok(joined)
    }
}

impl Source for Shards {
    fn name(&self) -> &str {
        &self.name
    }

    fn rows(&self) -> usize {
        self.starts[self.parts.len()]
    }

    fn d_in(&self) -> usize {
        self.parts[0].d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        let d_in = self.d_in();
        let (mut row, mut out) = (start, out);
        while !out.is_empty() {
            let shard = self.starts.partition_point(|&first| first <= row) - 1;
            let here = (self.starts[shard + 1] - row).min(out.len() / d_in);
            let (now, later) = out.split_at_mut(here * d_in);
            self.parts[shard].read(row - self.starts[shard], now)?;
            row += here;
            out = later;
        }
        Ok(())
    }
}
