//! Named arrays in one compressed text.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value, json};

/// Named arrays, written one after the other. Empty arrays are left out.
#[derive(Default)]
pub(super) struct Pack {
    /// Kind, first byte and number of bytes of each array.
    parts: Map<String, Value>,
    body: Vec<u8>,
}

impl Pack {
    pub(super) fn floats(&mut self, name: &str, values: &[f32]) {
        self.add(name, "f32", values.iter().flat_map(|v| v.to_le_bytes()));
    }

    pub(super) fn counts(&mut self, name: &str, values: &[u32]) {
        self.add(name, "u32", values.iter().flat_map(|v| v.to_le_bytes()));
    }

    pub(super) fn bytes(&mut self, name: &str, values: &[u8]) {
        self.add(name, "u8", values.iter().copied());
    }

    /// Adds texts, each with a byte 0 behind it; this byte in a text becomes a blank.
    pub(super) fn texts<'a>(&mut self, name: &str, texts: impl Iterator<Item = &'a str>) {
        let bytes = texts.flat_map(|text| {
            let shown = text.bytes().map(|b| if b == 0 { b' ' } else { b });
            shown.chain([0])
        });
        self.add(name, "text", bytes);
    }

    fn add(&mut self, name: &str, kind: &str, bytes: impl Iterator<Item = u8>) {
        // Arrays of the page start at multiples of 4 bytes.
        self.body.resize(self.body.len().next_multiple_of(4), 0);
        let start = self.body.len();
        self.body.extend(bytes);
        let length = self.body.len() - start;
        if length > 0 {
            self.parts
                .insert(name.to_owned(), json!([kind, start, length]));
        }
    }

    /// The JSON text of `head` with the list of arrays in `parts`, and the arrays, compressed by gzip, as base64.
    pub(super) fn finish(self, mut head: Value) -> (String, String) {
        head["parts"] = Value::Object(self.parts);
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packed.write_all(&self.body).and_then(|()| packed.finish());
        let packed = packed.expect("memory takes all bytes");
        // A text must not end the script element that holds it.
        let head = head.to_string().replace('<', "\\u003c");
        (head, STANDARD.encode(packed))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn arrays_come_back_from_the_packed_text() {
        let mut pack = Pack::default();
        pack.bytes("byte", &[7]);
        pack.floats("float", &[1.5, -2.0]);
        pack.counts("nothing", &[]);
        pack.texts("text", ["a\0b", "</script>"].into_iter());
        let (head, data) = pack.finish(json!({"title": "</script>"}));
        assert!(!head.contains('<'));
        let head: Value = serde_json::from_str(&head).unwrap();
        assert_eq!(head["title"], "</script>");
        assert_eq!(head["parts"]["float"], json!(["f32", 4, 8]));
        assert!(head["parts"].get("nothing").is_none());
        let packed = STANDARD.decode(data).unwrap();
        let mut body = Vec::new();
        flate2::read::GzDecoder::new(&*packed)
            .read_to_end(&mut body)
            .unwrap();
        assert_eq!(body[..12], [7, 0, 0, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0]);
        assert_eq!(&body[12..], b"a b\0</script>\0");
    }
}
