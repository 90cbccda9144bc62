//! Rows whose reads the caller sees: for progress over a pass, and to stop it.

use rarefy::Result;
use rarefy::data::{Dataset, Source};

/// Calls `before` with the number of rows of each read; an error of it takes the place of the read.
pub fn watched<'d>(
    dataset: Dataset<'d>,
    before: impl Fn(usize) -> Result<()> + Send + Sync + 'd,
) -> Dataset<'d> {
    let source = dataset.source;
    Dataset {
        source: Box::new(Watched { source, before }),
        ..dataset
    }
}

struct Watched<'d, F> {
    source: Box<dyn Source + 'd>,
    before: F,
}

impl<F: Fn(usize) -> Result<()> + Send + Sync> Source for Watched<'_, F> {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn d_in(&self) -> usize {
        self.source.d_in()
    }

    fn read(&self, start: usize, out: &mut [f32]) -> Result<()> {
        (self.before)(out.len() / self.d_in().max(1))?;
        self.source.read(start, out)
    }

    fn gather(&self, rows: &[usize], out: &mut [f32]) -> Result<()> {
        (self.before)(rows.len())?;
        self.source.gather(rows, out)
    }

    fn has_f64(&self) -> bool {
        self.source.has_f64()
    }

    fn read_f64(&self, start: usize, out: &mut [f64]) -> Result<()> {
        (self.before)(out.len() / self.d_in().max(1))?;
        self.source.read_f64(start, out)
    }

    fn as_slice(&self) -> Option<&[f32]> {
        self.source.as_slice()
    }

    fn is_drawn(&self) -> bool {
        self.source.is_drawn()
    }

    fn is_in_memory(&self) -> bool {
        self.source.is_in_memory()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rarefy::Error;
    use rarefy::data::{OpenOptions, open};

    use super::*;

    #[test]
    fn reads_are_counted_and_can_be_refused() {
        let digits = || open("sample:digits", &OpenOptions::default()).unwrap();
        let read = AtomicUsize::new(0);
        let counted = watched(digits(), |rows| {
            if read.fetch_add(rows, Ordering::Relaxed) > 4 {
                return Err(Error::Interrupted);
            }
            Ok(())
        });
        let source = counted.source.as_ref();
        let mut rows = [0.0; 2 * 64];
        source.read(1, &mut rows).unwrap();
        let mut same = [0.0; 2 * 64];
        source.gather(&[1, 2], &mut same).unwrap();
        assert_eq!(rows, same);
        let mut wide = [0.0; 64];
        source.read_f64(2, &mut wide).unwrap();
        assert_eq!(read.load(Ordering::Relaxed), 5);
        assert!(matches!(source.read(0, &mut rows), Err(Error::Interrupted)));
    }
}
