//! Bytes of a csv file: unpacked, with a sample of the first lines, and a bound on the length of a line.

use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// Size of the sample from which delimiter and header are found.
const SAMPLE: u64 = 1 << 20;
/// Longest line in bytes; a few bytes of gzip can hold a line of any length.
const LONGEST_LINE: usize = 1 << 26;

/// Content of a csv file after its sample was looked at.
pub(super) struct Input<R> {
    sample: Vec<u8>,
    at: usize,
    rest: R,
    /// Bytes since the last line feed.
    line: usize,
}

impl<R: Read> Input<R> {
    /// Reads the sample; refuses content that is no text.
    pub(super) fn new(path: &Path, mut rest: R) -> Result<Self> {
        let mut sample = Vec::new();
        let mut start = rest.by_ref().take(SAMPLE);
        start.read_to_end(&mut sample).map_err(Error::io(path))?;
        let known: [(&[u8], &str); 4] = [
            (b"\xFF\xFE", "text in UTF-16; save it as UTF-8"),
            (b"\xFE\xFF", "text in UTF-16; save it as UTF-8"),
            (b"<", "an HTML or XML page"),
            (
                b"{",
                "JSON; JSON objects, one on each line, are read from .jsonl",
            ),
        ];
        let found = known
            .iter()
            .find(|(magic, _)| sample.trim_ascii_start().starts_with(magic));
        if let Some((_, what)) = found {
            return Err(Error::format(path, format!("expected csv, got {what}")));
        }
        if sample.contains(&0) {
            return Err(Error::format(path, "expected csv, got binary data"));
        }
        Ok(Self {
            sample,
            at: 0,
            rest,
            line: 0,
        })
    }

    /// First bytes that are not read yet.
    pub(super) fn sample(&self) -> &[u8] {
        &self.sample[self.at..]
    }

    /// Leaves out bytes of the sample.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// True if the first line ends by carriage return and line feed, as Python's csv module and Windows write.
    pub(super) fn ends_by_two(&self) -> bool {
        let end = self.sample().iter().position(|byte| *byte == b'\n');
        end.is_some_and(|at| at > 0 && self.sample()[at - 1] == b'\r')
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let got = if self.at < self.sample.len() {
            let got = (&self.sample[self.at..]).read(out)?;
            self.at += got;
            got
        } else {
            self.rest.read(out)?
        };
        match out[..got].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => self.line = got - end - 1,
            None => self.line += got,
        }
        if self.line > LONGEST_LINE {
            return Err(std::io::Error::other(format!(
                "expected lines of at most {LONGEST_LINE} bytes, got a longer one"
            )));
        }
        Ok(got)
    }
}
