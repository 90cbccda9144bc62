//! Numbers and labels as text.

/// Share in per cent, with more digits for small ones.
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    match percent.abs() {
        0.0 => "0 %".into(),
        size if size < 0.0005 => "0 %".into(),
        size if size < 0.1 => {
            let digits = format!("{percent:.3}");
            format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => format!("{percent:.1} %"),
    }
}

/// Label of a row; numbers with many digits, such as scores, are rounded, and whole ones have no zeros behind the point.
pub fn label(label: &str) -> String {
    match label.parse::<f64>() {
        Ok(value) if label.len() > 6 && value.fract() != 0.0 => format!("{value:.3}"),
        Ok(value) if label.contains('.') && value.fract() == 0.0 && value.abs() < 1e15 => {
            format!("{value}")
        }
        _ => label.to_owned(),
    }
}

/// Number with four or five significant digits, in scientific notation if it is very large or small.
pub fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if !(1e-4..1e6).contains(&size) => format!("{value:.3e}"),
        size if size < 1.0 => format!("{value:.5}"),
        size if size < 100.0 => format!("{value:.4}"),
        _ => format!("{value:.1}"),
    }
}
