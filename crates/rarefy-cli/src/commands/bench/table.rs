//! A table that is printed line by line, as its numbers come.

/// No column is narrower: room for most numbers under a short name.
const NARROWEST: usize = 7;

/// The line of names.
pub fn header(names: &[&str]) -> String {
    let cells: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    line(names, &cells)
}

/// One line of cells under these names, each to the right.
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
    fn numbers_stand_under_the_end_of_their_names() {
        let names = ["k", "encode GFLOP/s"];
        assert_eq!(header(&names), "      k  encode GFLOP/s");
        let cells = ["128".to_owned(), "423".to_owned()];
        assert_eq!(line(&names, &cells), "    128             423");
    }
}
