//! Frames of an event file, which are those of `TFRecord` files.
//!
//! ```text
//! length u64 | checksum of the length u32 | data | checksum of the data u32      (little-endian)
//! checksum = rotate_right(crc32c, 15) + 0xa282ead8
//! ```
//!
//! Source: `record_writer.cc` of TensorFlow. CRC-32C is the sum of Castagnoli, not that of zip files.

use std::fs;
use std::path::Path;

use rarefy::{Error, Result};

use super::encoding;

/// Bytes before the data of a frame, and behind them.
const HEAD: usize = 12;
const TAIL: usize = 4;

/// A frame around an event.
pub(super) fn framed(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut frame = Vec::with_capacity(HEAD + event.len() + TAIL);
    frame.extend(length);
    frame.extend(checksum(&length).to_le_bytes());
    frame.extend(event);
    frame.extend(checksum(event).to_le_bytes());
    frame
}

/// Frames of a file with the steps of their events. Reading ends at a damaged frame, such as the last one of a killed run.
pub(super) fn read(path: &Path) -> Result<Vec<(usize, Vec<u8>)>> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let mut rest = bytes.as_slice();
    let mut found = Vec::new();
    while let Some((frame, next)) = split(rest) {
        let event = &frame[HEAD..frame.len() - TAIL];
        found.extend(encoding::step_of(event).map(|step| (step, frame.to_vec())));
        rest = next;
    }
    Ok(found)
}

/// The first frame and the bytes behind it; `None` if it is incomplete or a checksum is wrong.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if checksum(length) != u32::from_le_bytes(*sum) {
        return None;
    }
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (event, rest) = rest.split_at_checked(length)?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    if checksum(event) != u32::from_le_bytes(*sum) {
        return None;
    }
    Some((&bytes[..HEAD + length + TAIL], rest))
}

/// Checksum of a frame: a sum over data that holds sums itself would be weak, so it is masked.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| (sum >> 8) ^ TABLE[usize::from(sum as u8 ^ byte)];
    !bytes.iter().fold(!0, step)
}

/// Remainders of all bytes by the polynomial of Castagnoli, bits reversed.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0x82f6_3b78
            } else {
                sum >> 1
            };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_matches_its_published_values() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn incomplete_or_damaged_frame_ends_the_reading() {
        let whole = [framed(b"first"), framed(b"second")].concat();
        let first = framed(b"first").len();
        assert_eq!(split(&whole).unwrap().0, framed(b"first"));
        assert_eq!(split(&whole[first..]).unwrap().1, b"");
        for end in first + 1..whole.len() {
            assert!(split(&whole[first..end]).is_none(), "{end}");
        }
        for at in 0..first {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert!(split(&damaged).is_none(), "{at}");
        }
    }
}
