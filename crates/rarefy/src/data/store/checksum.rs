//! SHA-256 of files.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Bytes that are read together.
const PIECE: usize = 1 << 20;

/// SHA-256 of a file, in hexadecimal digits.
pub(super) fn sum(path: &Path, read: &mut dyn FnMut(usize) -> Result<()>) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let (mut digest, mut piece) = (Sha256::new(), vec![0; PIECE]);
    loop {
        let count = file.read(&mut piece).map_err(Error::io(path))?;
        if count == 0 {
            return Ok(hexadecimal(&digest.finalize()));
        }
        digest.update(&piece[..count]);
        read(count)?;
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a text takes all characters");
        text
    })
}
