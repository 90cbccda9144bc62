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
            notes.contains("one names the columns: label, a, b"),
            "{notes}"
        );
    }
    // Words that are no names of these columns.
    for other in ["# a,b\n", "# a,a,b\n", "# 1,2,3\n", "# a,2,b\n", "#\n"] {
        folder.write("d.csv", format!("{other}0,1.5,2\n1,2.5,3\n"));
        assert_eq!(folder.open("d.csv").source.d_in(), 3, "{other}");
    }
    folder.write("e.csv", "# word vectors\n0.1 0.2\n0.3 0.5\n");
    assert_eq!(folder.open("e.csv").source.d_in(), 2, "two words are prose");
    // Blank lines, blanks in names, blanks above commas, carriage returns, a row that could be names.
    for (name, text) in [
        ("f.csv", "\n# label,a,b\n\n0,1.5,2\n1,2.5,3\n"),
        (
            "g.csv",
            "# label,petal width,petal length\n0,1.5,2\n1,2.5,3\n",
        ),
        ("h.csv", "# label a b\n0,1.5,2\n1,2.5,3\n"),
        ("i.csv", "# label,a,b\r0,1.5,2\r1,2.5,3\r"),
        ("j.csv", "# label,a,b\n0,1,2\n1,2.5,3.5\n"),
        ("k.csv", "# label,a,b\n0,1,2\n# label,a,b\n1,2.5,3.5\n"),
        (
            "l.csv",
            "label,a,b\n0,1.5,2\n# 2,0.5,1.5\n#3,0.5,1.5\n1,2.5,3\n",
        ),
    ] {
        folder.write(name, text);
        let dataset = folder.open(name);
        assert_eq!(dataset.labels.as_deref().unwrap(), ["0", "1"], "{name}");
        assert_eq!(
            (dataset.source.rows(), dataset.source.d_in()),
            (2, 2),
            "{name}"
        );
    }
    let wide = (0..20_000).map(|at| format!(",feature_{at}"));
    let wide = wide.collect::<Vec<_>>().concat();
    let row = ",0.5".repeat(20_000);
    folder.write("m.csv", format!("# label{wide}\n1{row}\n2{row}\n"));
    assert_eq!(folder.open("m.csv").labels.as_deref().unwrap(), ["1", "2"]);
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

#[test]
fn label_that_matches_several_columns_is_refused() {
    let folder = Folder::new();
    folder.write("a.csv", "y1,y2,a\n0,1,1.5\n1,0,2\n");
    let options = OpenOptions {
        label: Some("y*".into()),
        ..OpenOptions::default()
    };
    let error = data::open(&folder.path("a.csv"), &options).err().unwrap();
    assert_eq!(
        error.to_string(),
        "`data.label` must name one column, but `y*` matches y1, y2"
    );
}
