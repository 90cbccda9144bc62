//! Bytes that begin at a line of the cache.
//!
//! The tile registers of AMX load rows of 64 bytes. A row that lies across two lines takes twice as long: 680 instead of 1360 GOP/s
//! on one core of Sapphire Rapids, comparisons included.

/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Bytes whose first lies at the start of a line of the cache.
#[derive(Default)]
pub(super) struct Lines<T> {
    all: Vec<T>,
    len: usize,
}

impl<T: Copy + Default> Lines<T> {
    /// Zeros.
    pub(super) fn new(len: usize) -> Self {
        let mut lines = Self::default();
        lines.resize(len);
        lines
    }

    /// Changes the number of bytes; their values are lost.
    pub(super) fn resize(&mut self, len: usize) {
        self.all.resize(len + LINE, T::default());
        self.len = len;
    }

    fn start(&self) -> usize {
        self.all.as_ptr().align_offset(LINE).min(LINE)
    }

    pub(super) fn get(&self) -> &[T] {
        &self.all[self.start()..][..self.len]
    }

    pub(super) fn get_mut(&mut self) -> &mut [T] {
        let start = self.start();
        &mut self.all[start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_begin_at_a_line_whatever_their_number() {
        let mut lines = Lines::<u8>::new(0);
        for len in [0, 1, 63, 64, 1000, 12, 100_000] {
            lines.resize(len);
            lines.get_mut().fill(7);
            assert_eq!(lines.get(), vec![7; len]);
            assert!(lines.get().as_ptr().addr().is_multiple_of(LINE));
        }
    }
}
