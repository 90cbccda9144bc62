//! The two types in which raw values are read: `f32`, and `f64` for values whose digits `f32` cuts off.

use std::borrow::Cow;

use super::Source;
use crate::Result;

/// `f32` or `f64`, as the type of raw values. All models compute with `f32`; steps of preprocessing compute with `f64`
/// where a file has more digits than `f32` holds, so that a large mean costs no digits of the differences.
#[doc(hidden)]
pub trait Value: Copy + Default + PartialOrd + Send + Sync + Into<f64> + 'static {
    /// Nearest value to an `f64`.
    fn of(value: f64) -> Self;
    /// Nearest value to an `f32`.
    fn of_f32(value: f32) -> Self;
    /// Values of `f32`, without a copy if the type is the same.
    fn of_f32s(values: &[f32]) -> Cow<'_, [Self]>;
    /// Nearest value to an integer.
    fn of_i64(value: i64) -> Self;
    /// Nearest value to an integer.
    fn of_u64(value: u64) -> Self;
    /// Smaller of two values.
    #[must_use]
    fn least(self, other: Self) -> Self;
    /// Larger of two values.
    #[must_use]
    fn most(self, other: Self) -> Self;
    /// Values rounded to `f32`.
    fn narrowed(values: Vec<Self>) -> Vec<f32>;
    /// Rows of a source from row `start` on, as [`Source::read`].
    ///
    /// # Errors
    /// As [`Source::read`].
    fn read(source: &dyn Source, start: usize, out: &mut [Self]) -> Result<()>;
    /// All rows of a source that holds them in memory in this type.
    fn slice(source: &dyn Source) -> Option<&[Self]>;
}

macro_rules! value {
    ($type:ty, $of_f32s:expr, $narrowed:expr, $read:expr, $slice:expr) => {
        impl Value for $type {
            fn of(value: f64) -> Self {
                value as Self
            }

            fn of_f32(value: f32) -> Self {
                value.into()
            }

            fn of_f32s(values: &[f32]) -> Cow<'_, [Self]> {
                $of_f32s(values)
            }

            fn of_i64(value: i64) -> Self {
                value as Self
            }

            fn of_u64(value: u64) -> Self {
                value as Self
            }

            fn least(self, other: Self) -> Self {
                self.min(other)
            }

            fn most(self, other: Self) -> Self {
                self.max(other)
            }

            fn narrowed(values: Vec<Self>) -> Vec<f32> {
                $narrowed(values)
            }

            fn read(source: &dyn Source, start: usize, out: &mut [Self]) -> Result<()> {
                $read(source, start, out)
            }

            fn slice(source: &dyn Source) -> Option<&[Self]> {
                $slice(source)
            }
        }
    };
}

value!(
    f32,
    Cow::Borrowed,
    |values| values,
    <dyn Source>::read,
    <dyn Source>::as_slice
);
value!(
    f64,
    |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect(),
    |values: Vec<f64>| values.iter().map(|v| *v as f32).collect(),
    <dyn Source>::read_f64,
    |_| None
);
