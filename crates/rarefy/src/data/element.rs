//! Element types of data files and their conversion to `f32` and `f64`.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;

use super::value::Value;

/// Element type of a stored array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Truth value of one byte: 0 for false, any other for true, read as 0 and 1.
    Bool,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 64-bit integer.
    U64,
    /// Signed 64-bit integer.
    I64,
    /// IEEE half precision float.
    F16,
    /// `bfloat16`: the upper 16 bits of an `f32`.
    Bf16,
    /// IEEE single precision float.
    F32,
    /// IEEE double precision float.
    F64,
}

impl Element {
    /// Element type for a type of a safetensors header; `None` if the type is not supported.
    pub(crate) fn of_tensor(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::BOOL => Self::Bool,
            Dtype::U8 => Self::U8,
            Dtype::I8 => Self::I8,
            Dtype::U16 => Self::U16,
            Dtype::I16 => Self::I16,
            Dtype::U32 => Self::U32,
            Dtype::I32 => Self::I32,
            Dtype::U64 => Self::U64,
            Dtype::I64 => Self::I64,
            Dtype::F16 => Self::F16,
            Dtype::BF16 => Self::Bf16,
            Dtype::F32 => Self::F32,
            Dtype::F64 => Self::F64,
            _ => return None,
        })
    }

    /// Size of one value in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Name of the type for messages, such as `f32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// True if values may have more digits than `f32` holds.
    pub(super) fn has_f64(self) -> bool {
        matches!(
            self,
            Self::U32 | Self::I32 | Self::U64 | Self::I64 | Self::F64
        )
    }

    /// Converts stored values to `f32` or `f64`, rounding to the nearest.
    ///
    /// # Panics
    /// If the length of `bytes` is not `out.len()` times the size of a value.
    pub fn convert<V: Value>(self, bytes: &[u8], big_endian: bool, out: &mut [V]) {
        assert_eq!(
            bytes.len(),
            out.len() * self.size(),
            "number of bytes must be the number of values times their size"
        );
        macro_rules! each {
            ($type:ty, $convert:expr) => {
                for (value, bytes) in out
                    .iter_mut()
                    .zip(bytes.as_chunks::<{ size_of::<$type>() }>().0)
                {
                    let stored = if big_endian {
                        <$type>::from_be_bytes(*bytes)
                    } else {
                        <$type>::from_le_bytes(*bytes)
                    };
                    *value = $convert(stored);
                }
            };
        }
        match self {
            Self::Bool => each!(u8, |v: u8| V::of_f32(f32::from(v != 0))),
            Self::U8 => each!(u8, |v: u8| V::of_f32(v.into())),
            Self::I8 => each!(i8, |v: i8| V::of_f32(v.into())),
            Self::U16 => each!(u16, |v: u16| V::of_f32(v.into())),
            Self::I16 => each!(i16, |v: i16| V::of_f32(v.into())),
            Self::U32 => each!(u32, |v: u32| V::of_u64(v.into())),
            Self::I32 => each!(i32, |v: i32| V::of_i64(v.into())),
            Self::U64 => each!(u64, V::of_u64),
            Self::I64 => each!(i64, V::of_i64),
            Self::F16 => convert_halves(bytes, big_endian, out),
            Self::Bf16 => each!(bf16, |v: bf16| V::of_f32(v.to_f32())),
            Self::F32 => each!(f32, V::of_f32),
            Self::F64 => each!(f64, V::of),
        }
    }

    /// Converts stored 32- or 64-bit integers to `i64`, exactly; `None` for other types and for `U64`.
    pub(crate) fn integers(self, bytes: &[u8], big_endian: bool) -> Option<Vec<i64>> {
        macro_rules! each {
            ($type:ty) => {{
                let (values, _) = bytes.as_chunks::<{ size_of::<$type>() }>();
                let number = |bytes: &[u8; _]| {
                    i64::from(if big_endian {
                        <$type>::from_be_bytes(*bytes)
                    } else {
                        <$type>::from_le_bytes(*bytes)
                    })
                };
                Some(values.iter().map(number).collect())
            }};
        }
        match self {
            Self::I32 => each!(i32),
            Self::U32 => each!(u32),
            Self::I64 => each!(i64),
            _ => None,
        }
    }
}

/// Converts many values of `f16` together. One after the other, they took a sixth of a training run: the conversion of one value is not
/// inlined.
fn convert_halves<V: Value>(bytes: &[u8], big_endian: bool, out: &mut [V]) {
    const PIECE: usize = 256;
    let (mut stored, mut wide) = ([f16::ZERO; PIECE], [0.0; PIECE]);
    let (bytes, _) = bytes.as_chunks::<2>();
    for (bytes, out) in bytes.chunks(PIECE).zip(out.chunks_mut(PIECE)) {
        let (stored, wide) = (&mut stored[..out.len()], &mut wide[..out.len()]);
        for (value, bytes) in stored.iter_mut().zip(bytes) {
            *value = if big_endian {
                f16::from_be_bytes(*bytes)
            } else {
                f16::from_le_bytes(*bytes)
            };
        }
        stored.convert_to_f32_slice(wide);
        let values = out.iter_mut().zip(wide);
        values.for_each(|(out, value)| *out = V::of_f32(*value));
    }
}
