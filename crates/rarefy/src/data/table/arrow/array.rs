//! Numbers and texts of Arrow arrays.

use std::borrow::Cow;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type,
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{AnyDictionaryArray, Array, ArrayRef};
use arrow_schema::DataType;

use super::super::cells::{Bad, Numbers};
use crate::Result;
use crate::data::Value;

/// Numbers of the batches of a column; `None` if its type holds no numbers.
pub(super) fn numbers<V: Value>(
    arrays: impl Iterator<Item = Result<ArrayRef>>,
) -> Result<Option<Numbers<V>>> {
    let mut numbers = Numbers::default();
    for array in arrays {
        let array = array?;
        if append(&mut numbers, &array).is_none() {
            return Ok(None);
        }
        numbers.rows += array.len();
    }
    Ok(Some(numbers))
}

/// Appends the numbers or lists of numbers of a batch; `None` if its type holds none.
fn append<V: Value>(numbers: &mut Numbers<V>, array: &ArrayRef) -> Option<()> {
    if let Some((ranges, values)) = lists(array) {
        return append_lists(numbers, array, &ranges, &values);
    }
    numbers.width = 1;
    numbers.values.extend_from_slice(&floats(array)?);
    let nulls = array.logical_nulls();
    let nulls = nulls
        .iter()
        .flat_map(|nulls| (0..nulls.len()).filter(|at| nulls.is_null(*at)));
    let why = "expected a number, got null";
    let bad = nulls.map(|at| bad(numbers.rows + at, why.into()));
    numbers.bad.extend(bad);
    Some(())
}

fn bad(row: usize, why: String) -> Bad {
    Bad { row, why }
}

/// Appends lists of numbers. The first list sets the width of all.
fn append_lists<V: Value>(
    numbers: &mut Numbers<V>,
    array: &ArrayRef,
    ranges: &[Range<usize>],
    values: &ArrayRef,
) -> Option<()> {
    let first_row = numbers.rows;
    let all = floats::<V>(values)?;
    let none = V::of_f32(f32::NAN);
    let nulls = values.logical_nulls();
    let has_null = |range: &Range<usize>| {
        nulls
            .as_ref()
            .is_some_and(|nulls| range.clone().any(|at| nulls.is_null(at)))
    };
    if numbers.width == 0 {
        let first = ranges.iter().find(|range| !range.is_empty());
        numbers.width = first.map_or(0, ExactSizeIterator::len);
        numbers.values = vec![none; first_row * numbers.width];
    }
    for (at, range) in ranges.iter().enumerate() {
        let why = if array.is_null(at) {
            "expected a list of numbers, got null".into()
        } else if range.is_empty() && holds_lists(array.data_type()) {
            "expected a list of numbers, got null or a list of several lists; write each row as one list".into()
        } else if range.is_empty() && numbers.width == 0 {
            "expected a list of numbers, got an empty list".into()
        } else if range.len() != numbers.width {
            format!(
                "expected a list of {} numbers as in the first row, got {}",
                numbers.width,
                range.len()
            )
        } else if has_null(range) {
            "expected a list of numbers, got a null in the list".into()
        } else {
            numbers.values.extend_from_slice(&all[range.clone()]);
            continue;
        };
        numbers.bad.push(bad(first_row + at, why));
        numbers
            .values
            .resize(numbers.values.len() + numbers.width, none);
    }
    Some(())
}

/// Position of each list in the array of the lists' values. A list that holds one list is that list; one that holds
/// several is empty. `None` for an array of other values.
pub(crate) fn lists(array: &ArrayRef) -> Option<(Vec<Range<usize>>, ArrayRef)> {
    let (outer, values) = list_ranges(array)?;
    let values_of_outer = values;
    let Some((inner, values)) = lists(&values_of_outer) else {
        return Some((outer, values_of_outer));
    };
    let of_outer = |range: Range<usize>| match range.len() {
        1 if values_of_outer.is_valid(range.start) => inner[range.start].clone(),
        _ => 0..0,
    };
    Some((outer.into_iter().map(of_outer).collect(), values))
}

/// True for lists whose values are lists.
pub(crate) fn holds_lists(data_type: &DataType) -> bool {
    use DataType::{FixedSizeList, LargeList, List};
    match data_type {
        List(item) | LargeList(item) | FixedSizeList(item, _) => {
            matches!(item.data_type(), List(_) | LargeList(_) | FixedSizeList(..))
        }
        _ => false,
    }
}

/// Position of each list in the array of the lists' values; `None` for an array of other values.
pub(super) fn list_ranges(array: &ArrayRef) -> Option<(Vec<Range<usize>>, ArrayRef)> {
    macro_rules! of_offsets {
        ($offset:ty) => {{
            let list = array.as_list::<$offset>();
            let ranges = list
                .offsets()
                .windows(2)
                .map(|ends| ends[0] as usize..ends[1] as usize);
            Some((ranges.collect(), list.values().clone()))
        }};
    }
    match array.data_type() {
        DataType::List(_) => of_offsets!(i32),
        DataType::LargeList(_) => of_offsets!(i64),
        DataType::FixedSizeList(_, width) => {
            let list = array.as_fixed_size_list();
            let width = *width as usize;
            let ranges = (0..list.len()).map(|at| at * width..(at + 1) * width);
            Some((ranges.collect(), list.values().clone()))
        }
        _ => None,
    }
}

/// True if values of this type may have more digits than `f32` holds.
pub(super) fn has_f64(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => has_f64(values),
        t => {
            t.is_decimal()
                || (t.is_integer() || t.is_floating())
                    && t.primitive_width() > Some(2)
                    && *t != DataType::Float32
        }
    }
}

/// Values of a flat array, with any number in place of a null; `None` if the type holds no numbers.
pub(crate) fn floats<V: Value>(array: &dyn Array) -> Option<Cow<'_, [V]>> {
    macro_rules! each {
        ($type:ty, $convert:expr) => {
            array
                .as_primitive::<$type>()
                .values()
                .iter()
                .map($convert)
                .collect()
        };
    }
    let decimal = |value: f64, digits: i8| V::of(value / 10f64.powi(digits.into()));
    Some(match array.data_type() {
        DataType::Float32 => V::of_f32s(array.as_primitive::<Float32Type>().values()),
        DataType::Float64 => each!(Float64Type, |v| V::of(*v)),
        DataType::Float16 => each!(Float16Type, |v| V::of_f32(v.to_f32())),
        DataType::Int8 => each!(Int8Type, |v| V::of_i64((*v).into())),
        DataType::Int16 => each!(Int16Type, |v| V::of_i64((*v).into())),
        DataType::Int32 => each!(Int32Type, |v| V::of_i64((*v).into())),
        DataType::Int64 => each!(Int64Type, |v| V::of_i64(*v)),
        DataType::UInt8 => each!(UInt8Type, |v| V::of_u64((*v).into())),
        DataType::UInt16 => each!(UInt16Type, |v| V::of_u64((*v).into())),
        DataType::UInt32 => each!(UInt32Type, |v| V::of_u64((*v).into())),
        DataType::UInt64 => each!(UInt64Type, |v| V::of_u64(*v)),
        DataType::Decimal32(_, scale) => each!(Decimal32Type, |v| decimal(f64::from(*v), *scale)),
        DataType::Decimal64(_, scale) => each!(Decimal64Type, |v| decimal(*v as f64, *scale)),
        DataType::Decimal128(_, scale) => each!(Decimal128Type, |v| decimal(*v as f64, *scale)),
        DataType::Decimal256(_, scale) => each!(Decimal256Type, |v| {
            decimal(v.to_string().parse().unwrap_or(f64::NAN), *scale)
        }),
        DataType::Boolean => {
            let values = array.as_boolean().values().iter();
            values.map(|v| V::of_u64(v.into())).collect()
        }
        DataType::Null => Cow::Owned(vec![V::default(); array.len()]),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = floats::<V>(dictionary.values())?;
            let keys = keys(dictionary).into_iter();
            keys.map(|key| values.get(key).copied().unwrap_or_default())
                .collect()
        }
        _ => return None,
    })
}

/// Number of the dictionary's entry for each value; any number for a null.
fn keys(dictionary: &dyn AnyDictionaryArray) -> Vec<usize> {
    // A batch without rows, or of nulls alone, may have no entries.
    if dictionary.values().is_empty() {
        return vec![0; dictionary.len()];
    }
    dictionary.normalized_keys()
}

/// Values of an array of integers, exact; `None` for other types and for 64-bit unsigned.
pub(crate) fn integers(array: &dyn Array) -> Option<Vec<i64>> {
    macro_rules! each {
        ($type:ty) => {
            array
                .as_primitive::<$type>()
                .values()
                .iter()
                .map(|v| i64::from(*v))
                .collect()
        };
    }
    Some(match array.data_type() {
        DataType::Int32 => each!(Int32Type),
        DataType::UInt32 => each!(UInt32Type),
        DataType::Int64 => each!(Int64Type),
        _ => return None,
    })
}

/// Values as texts, `None` for a null; `None` in all for types that have no short text.
pub(super) fn texts(array: &ArrayRef) -> Option<Vec<Option<String>>> {
    macro_rules! each {
        ($values:expr) => {
            $values.iter().map(|v| v.map(|v| v.to_string())).collect()
        };
    }
    macro_rules! dates {
        ($type:ty) => {{
            let dates = array.as_primitive::<$type>();
            let date = |at| {
                Some(
                    dates
                        .is_valid(at)
                        .then(|| dates.value_as_date(at))??
                        .to_string(),
                )
            };
            (0..dates.len()).map(date).collect()
        }};
    }
    Some(match array.data_type() {
        DataType::Utf8 => each!(array.as_string::<i32>()),
        DataType::LargeUtf8 => each!(array.as_string::<i64>()),
        DataType::Utf8View => each!(array.as_string_view()),
        DataType::Boolean => each!(array.as_boolean()),
        DataType::Int8 => each!(array.as_primitive::<Int8Type>()),
        DataType::Int16 => each!(array.as_primitive::<Int16Type>()),
        DataType::Int32 => each!(array.as_primitive::<Int32Type>()),
        DataType::Int64 => each!(array.as_primitive::<Int64Type>()),
        DataType::UInt8 => each!(array.as_primitive::<UInt8Type>()),
        DataType::UInt16 => each!(array.as_primitive::<UInt16Type>()),
        DataType::UInt32 => each!(array.as_primitive::<UInt32Type>()),
        DataType::UInt64 => each!(array.as_primitive::<UInt64Type>()),
        DataType::Float32 => each!(array.as_primitive::<Float32Type>()),
        DataType::Float64 => each!(array.as_primitive::<Float64Type>()),
        DataType::Date32 => dates!(Date32Type),
        DataType::Date64 => dates!(Date64Type),
        DataType::Null => vec![None; array.len()],
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = texts(dictionary.values())?;
            let keys = keys(dictionary).into_iter().enumerate();
            keys.map(|(row, key)| {
                (!array.is_null(row))
                    .then(|| values.get(key).cloned().flatten())
                    .flatten()
            })
            .collect()
        }
        _ => return None,
    })
}
