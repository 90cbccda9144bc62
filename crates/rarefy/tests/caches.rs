//! Activations that other packages cached, written by those packages: `golden/caches/make.py`.

use rarefy::data::{self, Dataset, OpenOptions};

fn open(member: &str) -> Dataset<'static> {
    let path = format!(
        "{}/tests/golden/caches/{member}",
        env!("CARGO_MANIFEST_DIR")
    );
    let options = OpenOptions {
        places: true,
        ..OpenOptions::default()
    };
    data::open(&path, &options).unwrap()
}

fn values(data: &Dataset) -> Vec<f32> {
    let mut values = vec![0.0; data.source.rows() * data.source.d_in()];
    data.source.read(0, &mut values).unwrap();
    values
}

#[test]
fn activations_cached_by_saelens_are_rows_with_tokens() {
    let data = open("saelens");
    assert_eq!((data.source.rows(), data.source.d_in()), (12, 4));
    assert_eq!(values(&data), (0..48u8).map(f32::from).collect::<Vec<_>>());
    let places = data.places.unwrap();
    let of = |row| (places.context(row), places.position(row), places.token(row));
    assert_eq!([of(2), of(9)], [(0, 2, Some(102)), (3, 0, Some(109))]);
}

#[test]
fn shards_of_saev_are_rows_of_a_layer() {
    // Values are counted over [example, layer, token, width], of sizes 5, 2, 3 and 2.
    let expected = |layer: usize, tokens: std::ops::Range<usize>| -> Vec<f32> {
        let rows = (0..5).flat_map(|example| {
            tokens
                .clone()
                .map(move |token| 6 * example + 3 * layer + token)
        });
        rows.flat_map(|row| [2.0 * row as f32, 2.0 * row as f32 + 1.0])
            .collect()
    };
    assert_eq!(values(&open("saev::6")), expected(0, 1..3));
    assert_eq!(values(&open("saev::11")), expected(1, 1..3));
    assert_eq!(values(&open("saev::11/cls")), expected(1, 0..1));
    assert_eq!(values(&open("saev::6/all")), expected(0, 0..3));
}
