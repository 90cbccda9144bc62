//! Events in the encoding of protocol buffers.
//!
//! ```text
//! Event   { 1: wall_time double, 2: step int64, 3: file_version string, 5: Summary }
//! Summary { 1: Value, repeated }
//! Value   { 1: tag string, 2: simple_value float }
//! ```
//!
//! Source: `event.proto` and `summary.proto` of TensorBoard. Each field is a key, `number << 3 | type`, and a value.

/// Types of values: 8 bytes, bytes behind their length, 4 bytes. A varint has type 0.
const FIXED_64: u8 = 1;
const BYTES: u8 = 2;
const FIXED_32: u8 = 5;

/// First event of a file, which names the version of the format.
pub(super) fn version(wall_time: f64) -> Vec<u8> {
    let mut event = begin(wall_time, 0);
    bytes(&mut event, 3, b"brain.Event:2");
    event
}

/// Event with the scalars of a step.
pub(super) fn scalars(wall_time: f64, step: usize, scalars: &[(String, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in scalars {
        let mut one = Vec::new();
        bytes(&mut one, 1, tag.as_bytes());
        one.push(2 << 3 | FIXED_32);
        one.extend((*value as f32).to_le_bytes());
        bytes(&mut summary, 1, &one);
    }
    let mut event = begin(wall_time, step);
    bytes(&mut event, 5, &summary);
    event
}

/// Step of an event that [`scalars`] wrote; `None` for other events.
pub(super) fn step_of(event: &[u8]) -> Option<usize> {
    let (&key, rest) = event.split_first()?;
    let (&next, rest) = rest.get(8..)?.split_first()?;
    if (key, next) != (1 << 3 | FIXED_64, 2 << 3) {
        return None;
    }
    let mut step = 0;
    for (at, &byte) in rest.iter().enumerate().take(9) {
        step |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return usize::try_from(step).ok();
        }
    }
    None
}

fn begin(wall_time: f64, step: usize) -> Vec<u8> {
    let mut event = vec![1 << 3 | FIXED_64];
    event.extend(wall_time.to_le_bytes());
    // A field of value 0 is left out.
    if step > 0 {
        event.push(2 << 3);
        varint(&mut event, step as u64);
    }
    event
}

fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    out.push(field << 3 | BYTES);
    varint(out, content.len() as u64);
    out.extend(content);
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
