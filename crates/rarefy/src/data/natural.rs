//! Natural order of file names: numbers in names are compared by value, so `shard_2` comes before `shard_10`.

use std::cmp::Ordering;
use std::path::Path;

/// Compares two paths, folder by folder and name by name, in natural order.
///
/// Runs of digits are compared as whole numbers of any length, all other characters one by one. Paths that differ only
/// in leading zeros, such as `1` and `01`, have the order of their characters.
pub(super) fn order(a: &Path, b: &Path) -> Ordering {
    let (mut left, mut right) = (a.components(), b.components());
    loop {
        let (here, there) = match (left.next(), right.next()) {
            (Some(here), Some(there)) => (here.as_os_str(), there.as_os_str()),
            (Some(_), None) => return Ordering::Greater,
            (None, Some(_)) => return Ordering::Less,
            (None, None) => return a.cmp(b),
        };
        let by_number = names(&here.to_string_lossy(), &there.to_string_lossy());
        if by_number != Ordering::Equal {
            return by_number;
        }
    }
}

/// Compares two names in natural order; `Equal` if they differ only in leading zeros.
fn names(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(first), Some(second)) = (a.chars().next(), b.chars().next()) else {
            return a.len().cmp(&b.len());
        };
        let order = if first.is_ascii_digit() && second.is_ascii_digit() {
            numbers(take_digits(&mut a), take_digits(&mut b))
        } else {
            a = &a[first.len_utf8()..];
            b = &b[second.len_utf8()..];
            first.cmp(&second)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Splits the digits off the start of a text.
fn take_digits<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
    *text = rest;
    digits
}

/// Compares two runs of digits by value.
fn numbers(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_have_the_order_of_their_values() {
        let sorted = [
            "a/9.npy",
            "a/10.npy",
            "b2/1.npy",
            "b2/2.npy",
            "b10/1.npy",
            "c_007.npy",
            "c_8.npy",
            "c_8_a.npy",
            "c_8_b.npy",
            "c_123456789012345678901234567890.npy",
            "c_123456789012345678901234567891.npy",
            "d01.npy",
            "d1.npy",
            "é2.npy",
            "é10.npy",
        ];
        let mut mixed: Vec<&str> = sorted.to_vec();
        mixed.sort_unstable();
        assert_ne!(mixed, sorted);
        mixed.sort_by(|a, b| order(Path::new(a), Path::new(b)));
        assert_eq!(mixed, sorted);
    }
}
