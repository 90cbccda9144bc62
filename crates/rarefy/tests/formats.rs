//! Laws of the formats of codes: round trips, and files that the peers' own packages wrote.

mod fixtures;

use fixtures::{expected, folder};
use rarefy::codes::Codes;
use rarefy::formats::codes::{self, FORMATS};

fn sample(row_means: bool) -> Codes {
    let mut codes = Codes::new(4);
    codes.push_dense(
        &[0.0, 0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0],
        0.0,
    );
    if row_means {
        codes.row_means = vec![1.5, -2.0, 0.0];
    }
    codes
}

#[test]
fn every_format_reads_back_what_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let path = folder.path().join(format!("codes.{}", format.extension));
        for means in [false, true] {
            codes::write(&path, &sample(means)).unwrap();
            let back = codes::read(&path).unwrap();
            // A dense matrix has no room for row means.
            let kept = means && format.extension != "npy";
            assert_eq!(back, sample(kept), "{}", format.extension);
        }
        let nothing = Codes::new(4);
        if format.extension != "npy" {
            codes::write(&path, &nothing).unwrap();
            assert_eq!(codes::read(&path).unwrap(), nothing, "{}", format.extension);
        }
    }
}

#[test]
fn codes_of_other_packages_read_as_they_say() {
    let all = expected().codes;
    assert_eq!(all.len(), 6);
    for fixture in all {
        let codes = codes::read(&folder().join(&fixture.file))
            .unwrap_or_else(|e| panic!("{}: {e}", fixture.file));
        assert_eq!(codes.d_sae, fixture.d_sae, "{}", fixture.file);
        let dense = codes.to_dense().into_iter().map(f64::from);
        assert!(dense.eq(fixture.dense), "{}", fixture.file);
        let means = codes.row_means.iter().copied().map(f64::from);
        assert!(means.eq(fixture.row_means), "{}", fixture.file);
        assert!(codes.values.iter().all(|v| *v != 0.0), "{}", fixture.file);
    }
}

#[test]
fn a_matrix_in_columns_is_refused() {
    let error = codes::read(&folder().join("codes/csc.npz")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("csc.npz: expected a scipy.sparse matrix in CSR"),
        "{error}"
    );
}
