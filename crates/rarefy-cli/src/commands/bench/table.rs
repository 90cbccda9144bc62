//! Table that is printed line by line, while its numbers are measured.

/// Least width of a column.
const NARROWEST: usize = 7;

/// Header line of the column names.
pub fn header(names: &[&str]) -> String {
    let cells: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    line(names, &cells)
}

/// Line of cells, right-aligned under the column names.
pub fn line(names: &[&str], cells: &[String]) -> String {
    let cells = names.iter().zip(cells).map(|(name, cell)| {
        let width = name.len().max(NARROWEST);
        format!("{cell:>width$}")
    });
    cells.collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_right_aligned_under_names() {
        let names = ["k", "encode GFLOP/s"];
        assert_eq!(header(&names), "      k  encode GFLOP/s");
        let cells = ["128".to_owned(), "423".to_owned()];
        assert_eq!(line(&names, &cells), "    128             423");
    }
}
