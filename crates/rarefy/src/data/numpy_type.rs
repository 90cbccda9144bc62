//! Type codes of `NumPy`, such as `<f4`: numbers that are read, and all other types, refused by name.

use std::path::Path;

use super::Element;
use crate::{Error, Result};

/// Element type for a type code; true for big-endian byte order.
///
/// `V2` is bfloat16: `NumPy` has no code of its own for the types of `ml_dtypes`, and saves them as raw bytes.
///
/// # Errors
/// [`Error::Format`] with the name of a type that is not read, and what to do.
pub(super) fn element(path: &Path, code: &str) -> Result<(Element, bool)> {
    let big_endian = code.starts_with('>');
    let element = match kind(code) {
        "f4" => Element::F32,
        "f8" => Element::F64,
        "f2" => Element::F16,
        "V2" => Element::Bf16,
        "b1" => Element::Bool,
        "u1" => Element::U8,
        "i1" => Element::I8,
        "u2" => Element::U16,
        "i2" => Element::I16,
        "u4" => Element::U32,
        "i4" => Element::I32,
        "u8" => Element::U64,
        "i8" => Element::I64,
        _ => return Err(refusal(path, code)),
    };
    Ok((element, big_endian))
}

/// Note about a type that is read by guess: the raw bytes `V2` as bfloat16.
pub(super) fn note(path: &Path, code: &str) -> Option<String> {
    let path = path.display();
    (kind(code) == "V2").then(|| {
        format!("{path}: element type {code}, two raw bytes, read as bfloat16 (jax, ml_dtypes)")
    })
}

/// Code without its byte order.
fn kind(code: &str) -> &str {
    code.strip_prefix(['<', '|', '=', '>']).unwrap_or(code)
}

fn refusal(path: &Path, code: &str) -> Error {
    // The list of a structured type is followed by the rest of the header.
    let list = code.split_inclusive(")]").next().unwrap_or(code);
    let shown: String = list.chars().take(60).collect();
    let kind = kind(code);
    let (named, advice) = match kind.chars().next() {
        // A list of fields; kept before the other types, whose letters occur in names of fields.
        Some('[') => (
            "a structured type with named fields",
            "stack the fields that are numbers: np.stack([x['a'], x['b']], axis=1).astype('float32')",
        ),
        Some('O') => {
            let why = "expected numbers, got pickled Python objects, which are never loaded because unpickling can \
                       run code; save numbers with x.astype('float32')";
            return Error::format(path, why);
        }
        Some('c') => ("complex numbers", "save x.real, x.imag or np.abs(x)"),
        Some('M') => (
            "dates and times",
            "convert them to numbers first, such as days since a date",
        ),
        Some('m') => (
            "durations",
            "save seconds: (x / np.timedelta64(1, 's')).astype('float32')",
        ),
        Some('U' | 'S' | 'a') => ("strings", "save numbers with x.astype('float32')"),
        _ if ["V1", "f1"].contains(&kind) => (
            "one raw byte: float8 or a smaller type of ml_dtypes, whose format the file does not name",
            "save with x.astype('float32')",
        ),
        Some('f' | 'g') => ("long double floats", "save with x.astype('float64')"),
        Some('V') => (
            "raw bytes without a type",
            "save numbers with x.astype('float32')",
        ),
        _ => ("an unknown type", "save with x.astype('float32')"),
    };
    let why = format!(
        "expected element type f2, f4, f8, bfloat16, bool or an integer, got {named} (descr {shown}); {advice}"
    );
    Error::format(path, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_are_no_numbers_are_refused_by_name() {
        for (code, name) in [
            ("<V1", "float8"),
            ("<f1", "float8"),
            ("<c8", "complex"),
            ("<M8[ns]", "dates"),
            ("<m8[s]", "durations"),
            ("<U5", "strings"),
            ("|S5", "strings"),
            ("|O", "pickled"),
            (
                "[('Odd', '<f4'), ('b', '|O')], 'fortran_order'",
                "structured",
            ),
            ("<f16", "long double"),
            ("|V7", "raw bytes"),
            ("<W4", "unknown"),
        ] {
            let error = element(Path::new("x.npy"), code).unwrap_err().to_string();
            assert!(error.contains(name), "{code}: {error}");
        }
    }

    #[test]
    fn two_raw_bytes_are_bfloat16_with_a_note() {
        let path = Path::new("x.npy");
        assert_eq!(element(path, "<V2").unwrap(), (Element::Bf16, false));
        assert!(note(path, "|V2").unwrap().contains("bfloat16"));
        assert_eq!(note(path, "<f2"), None);
        assert_eq!(element(path, "|b1").unwrap(), (Element::Bool, false));
    }
}
