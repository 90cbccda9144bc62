//! Names, booleans and labels of csv files: read as their user means, or noted.

use crate::folder::{Folder, first_column};
use rarefy::data::{self, OpenOptions};

#[test]
fn comment_above_the_rows_names_the_columns() {
    let folder = Folder::new();
    // As numpy.savetxt writes a header, with and without blanks.
    folder.write("a.csv", "# made today\n# label,a,b\n0,1.5,2\n1,2.5,3\n");
    folder.write("b.csv", "#label,a,b\n0,1.5,2\n1,2.5,3\n");
    folder.write("c.csv", "# label a b\n0 1.5 2\n1 2.5 3\n");
    for name in ["a.csv", "b.csv", "c.csv"] {
        let dataset = folder.open(name);
        assert_eq!(dataset.source.d_in(), 2, "{name}");
        assert_eq!(dataset.labels.as_deref().unwrap(), ["0", "1"], "{name}");
        let notes = dataset.notes.join("\n");
        assert!(
            notes.contains("the last above the rows names the columns"),
            "{notes}"
        );
    }
    // Words that are no names of these columns.
    for other in [
        "# a,b\n",
        "# a b,c d,e f\n",
        "# a,a,b\n",
        "# 1,2,3\n",
        "# a,2,b\n",
        "#\n",
    ] {
        folder.write("d.csv", format!("{other}0,1.5,2\n1,2.5,3\n"));
        assert_eq!(folder.open("d.csv").source.d_in(), 3, "{other}");
    }
    let options = OpenOptions {
        header: Some(false),
        ..OpenOptions::default()
    };
    let dataset = data::open(&folder.path("b.csv"), &options).unwrap();
    assert_eq!(dataset.source.d_in(), 3);
}

#[test]
fn number_among_booleans_is_a_bad_cell() {
    let folder = Folder::new();
    folder.write(
        "a.csv",
        "a,b\nTrue,1\nFalse,2\n1,3\n0,4\n7,5\nTrue,6\nFalse,7\n",
    );
    folder.write("b.csv", "a,b\nTrue,1.5\nFalse,2\n1,3\nTrue,4\n0,5\n");
    assert!(
        folder
            .refusal("a.csv")
            .contains("line 6, column `a`: expected True or False, got 7")
    );
    assert_eq!(
        first_column(&folder.open("b.csv")),
        [1.0, 0.0, 1.0, 1.0, 0.0]
    );
}

#[test]
fn labels_that_are_numbers_in_one_file_and_words_in_another_are_noted() {
    let folder = Folder::new();
    folder.write("d/1.csv", "label,a\n0,1.5\n1,2\n");
    folder.write("d/2.csv", "label,a\ncat,1.5\ndog,2\n");
    let notes = folder.open("d").notes.join("\n");
    assert!(
        notes.contains("1.csv: labels are numbers, but words in "),
        "{notes}"
    );
    folder.write("d/2.csv", "label,a\n,1.5\n2,2\n");
    let notes = folder.open("d").notes.join("\n");
    assert!(!notes.contains("but words"), "{notes}");
}
