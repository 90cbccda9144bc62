//! Bytes of a csv file: unpacked, with a sample of the first lines, and a bound on the length of a line.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Error, Result};

/// Size of the sample from which delimiter and header are found.
const SAMPLE: u64 = 1 << 16;
/// Longest line in bytes; a few bytes of gzip can hold a line of any length.
const LONGEST_LINE: usize = 1 << 26;

/// Content of a file, unpacked if it is gzip.
pub(in crate::data::table) fn of_file(path: &Path) -> Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(Error::io(path))?);
    let mut magic = Vec::new();
    let mut start = file.by_ref().take(2);
    start.read_to_end(&mut magic).map_err(Error::io(path))?;
    let whole = Cursor::new(magic.clone()).chain(file);
    if magic == [0x1F, 0x8B] {
        Ok(Box::new(MultiGzDecoder::new(whole)))
    } else {
        Ok(Box::new(whole))
    }
}

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
        let known: [(&[u8], &str); 8] = [
            (b"\xFF\xFE", "text in UTF-16; save it as UTF-8"),
            (b"\xFE\xFF", "text in UTF-16; save it as UTF-8"),
            (
                b"PK\x03\x04",
                "a zip archive or Excel workbook; export it as csv",
            ),
            (b"PAR1", "a parquet file; name it .parquet"),
            (b"ARROW1", "an Arrow file; name it .arrow"),
            (b"\x93NUMPY", "an npy file; name it .npy"),
            (b"<", "an HTML or XML page"),
            (b"{", "JSON; lines of JSON objects are read from .jsonl"),
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
