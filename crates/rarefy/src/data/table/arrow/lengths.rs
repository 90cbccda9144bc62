//! Lengths that a file claims, compared with the file before memory is reserved for them.
//!
//! The decoder of Arrow files reserves the claimed length of footers, blocks and unpacked buffers, and a failed reservation ends the
//! process.

use std::io::{Read, Seek, SeekFrom};

use arrow_ipc::{MessageHeader, root_as_footer, root_as_message};

/// Unpacked bytes that each file may have.
const MOST_UNPACKED: u64 = 512 << 20;
/// Unpacked bytes for each byte of a larger file.
const MOST_RATIO: u64 = 1024;
/// Marks the start of a message, before its length.
const CONTINUATION: [u8; 4] = [0xFF; 4];

/// Message with its body.
pub(super) struct Part {
    /// Position in the file.
    start: u64,
    /// Length of the message, with the length that stands before it.
    metadata: u64,
    /// Length of the body.
    body: u64,
}

impl Part {
    /// Position of the body in the file.
    pub(super) fn body(&self) -> u64 {
        self.start + self.metadata
    }

    /// Bytes of the message.
    pub(super) fn message(&self, file: &mut (impl Read + Seek)) -> Result<Vec<u8>, String> {
        let mut metadata = at(file, self.start, self.metadata)?;
        let prefix = if metadata.starts_with(&CONTINUATION) {
            8
        } else {
            4
        };
        Ok(metadata.split_off(prefix.min(metadata.len())))
    }
}

/// Checks all lengths of an Arrow file or, if `is_stream` is true, of an Arrow stream. Returns the reason if one of them
/// exceeds the file.
pub(super) fn check(file: &mut (impl Read + Seek), is_stream: bool) -> Result<(), String> {
    parts(file, is_stream).map(|_| ())
}

/// Messages with bodies of an Arrow file or stream, behind the checks of [`check`].
pub(super) fn parts(file: &mut (impl Read + Seek), is_stream: bool) -> Result<Vec<Part>, String> {
    let length = file.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
    let parts = if is_stream {
        of_stream(file, length)?
    } else {
        of_footer(file, length)?
    };
    let mut unpacked = 0u64;
    for part in &parts {
        let end = part.start.checked_add(part.metadata);
        let end = end.and_then(|end| end.checked_add(part.body));
        if end.is_none_or(|end| end > length) {
            return Err(format!(
                "expected a batch of {} bytes at byte {}, got a file of {length} bytes",
                part.metadata.saturating_add(part.body),
                part.start
            ));
        }
        unpacked = unpacked.saturating_add(claimed(file, part)?);
        check_unpacked(unpacked, length)?;
    }
    Ok(parts)
}

/// Checks that a file of `length` bytes does not claim more bytes of values than memory should hold.
pub(super) fn check_unpacked(unpacked: u64, length: u64) -> Result<(), String> {
    let most = MOST_UNPACKED.max(length.saturating_mul(MOST_RATIO));
    if unpacked <= most {
        return Ok(());
    }
    Err(format!(
        "claims {unpacked} bytes of values in a file of {length} bytes, expected {most} at most; if they are right, save the rows as .npy"
    ))
}

/// Batches that the footer of a file lists.
fn of_footer(file: &mut (impl Read + Seek), length: u64) -> Result<Vec<Part>, String> {
    let tail = at(file, length.saturating_sub(10), 10.min(length))?;
    let size = match tail.as_slice() {
        [a, b, c, d, ..] if tail.len() == 10 => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => return Err("truncated: no footer".into()),
    };
    let size = u64::from(size);
    if size + 10 > length {
        return Err(format!(
            "expected a footer of {size} bytes, got a file of {length} bytes"
        ));
    }
    let footer = at(file, length - 10 - size, size)?;
    let footer = root_as_footer(&footer).map_err(|e| format!("damaged footer: {e}"))?;
    let blocks = footer
        .dictionaries()
        .into_iter()
        .chain(footer.recordBatches());
    let part = |block: &arrow_ipc::Block| {
        let number = |value: i64| u64::try_from(value).map_err(|_| "negative length".to_string());
        Ok(Part {
            start: number(block.offset())?,
            metadata: number(block.metaDataLength().into())?,
            body: number(block.bodyLength())?,
        })
    };
    blocks.flatten().map(part).collect()
}

/// All messages of a stream, up to its end mark or the end of the file.
fn of_stream(file: &mut (impl Read + Seek), length: u64) -> Result<Vec<Part>, String> {
    let (mut parts, mut start) = (Vec::new(), 0u64);
    while start.checked_add(8).is_some_and(|end| end <= length) {
        let head = at(file, start, 8)?;
        let (prefix, size) = if head[..4] == CONTINUATION {
            (8, &head[4..])
        } else {
            (4, &head[..4])
        };
        let size = u64::from(u32::from_le_bytes([size[0], size[1], size[2], size[3]]));
        if size == 0 && start + prefix == length {
            return Ok(parts);
        }
        if size == 0 {
            return Err(format!(
                "an end mark at byte {start}, expected it at the end of {length} bytes"
            ));
        }
        if start + prefix + size > length {
            return Err(format!(
                "truncated: expected a message of {size} bytes at byte {start}, got a file of {length} bytes"
            ));
        }
        let message = at(file, start + prefix, size)?;
        let message = root_as_message(&message).map_err(|e| format!("damaged message: {e}"))?;
        let body = u64::try_from(message.bodyLength()).map_err(|_| "negative length")?;
        parts.push(Part {
            start,
            metadata: prefix + size,
            body,
        });
        start = start
            .checked_add(prefix + size)
            .and_then(|end| end.checked_add(body))
            .ok_or("a length over 2^64")?;
    }
    // A body that leaves the file is named by the caller. Old streams end with four bytes of 0.
    let ends = start.checked_add(4) == Some(length) && at(file, start, 4)? == [0; 4];
    if start < length && !ends {
        return Err(format!(
            "truncated: expected a message at byte {start}, got {} bytes",
            length - start
        ));
    }
    Ok(parts)
}

/// Sum of the unpacked lengths that the buffers of a compressed batch claim; 0 for other messages. A buffer that is not
/// within the body of its message is an error.
fn claimed(file: &mut (impl Read + Seek), part: &Part) -> Result<u64, String> {
    let message = part.message(file)?;
    let message = root_as_message(&message);
    let message = message.map_err(|e| format!("damaged message: {e}"))?;
    let dictionary = message.header_as_dictionary_batch();
    let batch = dictionary.and_then(|dictionary| dictionary.data());
    let Some(batch) = message.header_as_record_batch().or(batch) else {
        // The decoder takes a message of an unknown type for the end.
        return match message.header_type() {
            MessageHeader::Schema => Ok(0),
            other => Err(format!(
                "expected a batch of rows, got a message of type {}",
                other.0
            )),
        };
    };
    let mut sum = 0u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let (Ok(offset), Ok(size)) = (
            u64::try_from(buffer.offset()),
            u64::try_from(buffer.length()),
        ) else {
            return Err("negative length of a buffer".into());
        };
        if offset.saturating_add(size) > part.body {
            return Err(format!(
                "expected a buffer within the {} bytes of its batch, got {size} bytes from byte {offset} on",
                part.body
            ));
        }
        if size < 8 || batch.compression().is_none() {
            continue;
        }
        let bytes = at(file, part.body() + offset, 8)?;
        let value = i64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        // -1 marks a buffer that is not compressed.
        sum = sum.saturating_add(u64::try_from(value).unwrap_or(0));
    }
    Ok(sum)
}

/// Bytes of the file; the caller has compared the length with the file's.
pub(super) fn at(
    file: &mut (impl Read + Seek),
    start: u64,
    length: u64,
) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let whole = file
        .seek(SeekFrom::Start(start))
        .and_then(|_| file.by_ref().take(length).read_to_end(&mut bytes));
    match whole {
        Ok(got) if got as u64 == length => Ok(bytes),
        Ok(got) => Err(format!(
            "expected {length} bytes at byte {start}, got {got}"
        )),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float32Array, RecordBatch};
    use arrow_ipc::writer::{FileWriter, StreamWriter};

    use super::*;

    #[test]
    fn buffer_outside_its_batch_is_refused_before_it_is_decoded() {
        // 301 values take 1204 bytes, a number that stands nowhere else in the file.
        let column: ArrayRef = Arc::new(Float32Array::from(vec![1.0; 301]));
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        for is_stream in [false, true] {
            let mut file = Vec::new();
            if is_stream {
                let mut writer = StreamWriter::try_new(&mut file, &batch.schema()).unwrap();
                writer.write(&batch).unwrap();
                writer.finish().unwrap();
            } else {
                let mut writer = FileWriter::try_new(&mut file, &batch.schema()).unwrap();
                writer.write(&batch).unwrap();
                writer.finish().unwrap();
            }
            assert_eq!(check(&mut Cursor::new(&file), is_stream), Ok(()));
            let length = 1204i64.to_le_bytes();
            let at = file.windows(8).position(|bytes| bytes == length).unwrap();
            file[at..at + 8].copy_from_slice(&(1i64 << 48).to_le_bytes());
            let why = check(&mut Cursor::new(&file), is_stream).unwrap_err();
            assert!(why.starts_with("expected a buffer within the"), "{why}");
            assert!(why.contains("got 281474976710656 bytes from byte"), "{why}");
        }
    }
}
