//! Element types of files and their conversion to f32.

use half::{bf16, f16};
use safetensors::Dtype;

/// How a file stores a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Unsigned byte.
    U8,
    /// Signed byte.
    I8,
    /// 16-bit unsigned.
    U16,
    /// 16-bit signed.
    I16,
    /// 32-bit unsigned.
    U32,
    /// 32-bit signed.
    I32,
    /// 64-bit unsigned.
    U64,
    /// 64-bit signed.
    I64,
    /// Half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Element {
    /// The element type that a safetensors header names, if it is one of these.
    pub(crate) fn of_tensor(dtype: Dtype) -> Option<Self> {
        Some(match dtype {
            Dtype::U8 | Dtype::BOOL => Self::U8,
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

    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// Name for messages.
    pub fn name(self) -> &'static str {
        match self {
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

    /// Converts stored values to f32, rounding to the nearest.
    ///
    /// # Panics
    /// If `bytes` does not hold exactly `out.len()` values.
    pub fn convert(self, bytes: &[u8], big_endian: bool, out: &mut [f32]) {
        assert_eq!(
            bytes.len(),
            out.len() * self.size(),
            "bytes of whole values"
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
            Self::U8 => each!(u8, f32::from),
            Self::I8 => each!(i8, f32::from),
            Self::U16 => each!(u16, f32::from),
            Self::I16 => each!(i16, f32::from),
            Self::U32 => each!(u32, |v| v as f32),
            Self::I32 => each!(i32, |v| v as f32),
            Self::U64 => each!(u64, |v| v as f32),
            Self::I64 => each!(i64, |v| v as f32),
            Self::F16 => each!(f16, f16::to_f32),
            Self::Bf16 => each!(bf16, bf16::to_f32),
            Self::F32 => each!(f32, |v| v),
            Self::F64 => each!(f64, |v| v as f32),
        }
    }
    /// Stored integers of 32 or 64 bits, exactly; `None` for other types.
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
