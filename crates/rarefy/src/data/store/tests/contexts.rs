//! Contexts of rows: positions and tokens that decide which rows are kept, and that stay with them.

use super::*;
use crate::data::Places;

/// Rows of contexts of four tokens; the token of row `i` is `i % 5`, the norm of row 6 is large.
fn of_contexts(rows: usize) -> Dataset<'static> {
    let values = (0..rows * WIDTH).map(|i| {
        if i / WIDTH == 6 {
            90.0
        } else {
            1.0 + (i % 7) as f32
        }
    });
    let mut dataset = Dataset::new(Memory::new("rows", WIDTH, values.collect()));
    let places = Places::every(4).unwrap();
    dataset.places = Some(
        places.with_tokens(
            (0..rows.next_multiple_of(4) as i32)
                .map(|row| row % 5)
                .collect(),
        ),
    );
    dataset
}

fn with_places(folder: &Path) -> Result<Dataset<'static>> {
    let options = OpenOptions {
        places: true,
        ..OpenOptions::default()
    };
    data::open(folder.to_str().unwrap(), &options)
}

fn masks() -> StoreOptions {
    StoreOptions {
        skip_first: 1,
        skip_tokens: vec![3],
        outlier_norm: Some(5.0),
        ..options(Number::F32)
    }
}

/// Rows of `of_contexts` that the masks keep, by hand: not at position 0, not token 3, not row 6.
fn kept(rows: usize) -> Vec<usize> {
    (0..rows)
        .filter(|row| row % 4 != 0 && row % 5 != 3 && *row != 6)
        .collect()
}

/// Store of 24 rows of contexts, with the masks, in shards of 10.
fn masked() -> Place {
    let place = place();
    let folder = &place.folder;
    write(&of_contexts(24), folder, &masks(), Begin::New, &mut go_on).unwrap();
    place
}

#[test]
fn rows_left_out_are_counted_under_the_first_reason() {
    let place = place();
    let written = write(
        &of_contexts(24),
        &place.folder,
        &masks(),
        Begin::New,
        &mut go_on,
    )
    .unwrap();
    // Positions 0: rows 0, 4 ... 20. Token 3: rows 3, 13, 18, 23, and 8, which counts as a first one.
    let expected = LeftOut {
        first: 6,
        special: 4,
        outliers: 1,
    };
    assert_eq!((written.rows, written.left_out), (13, expected));
    let manifest = Manifest::read(&place.folder).unwrap();
    let counts: Vec<_> = manifest
        .counts
        .iter()
        .map(|(name, count)| (&**name, *count))
        .collect();
    assert_eq!(
        counts,
        [("first", 6), ("outliers", 1), ("rows", 13), ("special", 4)]
    );
}

#[test]
fn places_stay_with_the_rows_also_where_a_shard_cuts_a_context() {
    let place = place();
    // Shards of 10 rows end in the middle of contexts of 4. Appended rows are of other contexts.
    write(
        &of_contexts(24),
        &place.folder,
        &masks(),
        Begin::New,
        &mut go_on,
    )
    .unwrap();
    write(
        &of_contexts(11),
        &place.folder,
        &masks(),
        Begin::Append,
        &mut go_on,
    )
    .unwrap();
    verify(&place.folder, &mut go_on).unwrap();
    assert!(open_store(&place.folder).unwrap().places.is_none());
    let places = with_places(&place.folder).unwrap().places.unwrap();
    let first = kept(24).into_iter().map(|row| (row / 4, row % 4, row % 5));
    let second = kept(11)
        .into_iter()
        .map(|row| (6 + row / 4, row % 4, row % 5));
    for (at, (context, position, token)) in first.chain(second).enumerate() {
        let got = (places.context(at), places.position(at), places.token(at));
        assert_eq!(
            got,
            (context as u64, position as u64, Some(token as i32)),
            "row {at}"
        );
    }
    // Tokens of rows that were left out are there too.
    assert_eq!(places.tokens_of(2), Some(&[3, 4, 0, 1][..]));
    assert_eq!(places.tokens_of(7), Some(&[4, 0, 1, 2][..]));
}

#[test]
fn places_go_from_a_store_to_another() {
    let [first, second] = [place(), place()];
    let unmasked = options(Number::F32);
    write(
        &of_contexts(24),
        &first.folder,
        &unmasked,
        Begin::New,
        &mut go_on,
    )
    .unwrap();
    let again = with_places(&first.folder).unwrap();
    write(&again, &second.folder, &masks(), Begin::New, &mut go_on).unwrap();
    let places = with_places(&second.folder).unwrap().places.unwrap();
    let tokens: Vec<_> = (0..13).map(|at| places.token(at).unwrap()).collect();
    let expected: Vec<_> = kept(24).into_iter().map(|row| row as i32 % 5).collect();
    assert_eq!(tokens, expected);
}

/// Six contexts of four tokens; the tokens of a context are its number, so that a mask leaves out whole contexts.
#[test]
fn contexts_without_rows_stay_in_stores_of_stores() {
    for masked in [0, 2, 5] {
        let (rows, given) = (24, of_contexts(24));
        let places = Places::every(4).unwrap();
        let tokens = (0..rows).map(|row| row / 4).collect();
        let given = Dataset {
            places: Some(places.with_tokens(tokens)),
            ..given
        };
        let left_out = StoreOptions {
            skip_tokens: vec![masked, masked],
            ..options(Number::F32)
        };
        let first = place();
        write(&given, &first.folder, &left_out, Begin::New, &mut go_on).unwrap();
        let mut before = with_places(&first.folder).unwrap();
        for shard_rows in [1, 4, 7, 100] {
            let next = place();
            let cut = StoreOptions {
                shard_rows: Some(shard_rows),
                ..options(Number::F32)
            };
            write(&before, &next.folder, &cut, Begin::New, &mut go_on).unwrap();
            before = with_places(&next.folder).unwrap();
            let places = before.places.as_ref().unwrap();
            assert_eq!((before.source.rows(), places.contexts(20)), (20, 6));
            for context in 0..6 {
                assert_eq!(places.tokens_of(context), Some(&[context as i32; 4][..]));
            }
            let kept = (0..6).filter(|context| *context != masked as u64);
            let of_rows: Vec<_> = (0..20).step_by(4).map(|row| places.context(row)).collect();
            assert_eq!(
                of_rows,
                kept.collect::<Vec<_>>(),
                "{masked}, shards of {shard_rows}"
            );
        }
    }
}

#[test]
fn rows_without_positions_are_not_added_to_those_with_them() {
    let place = place();
    write(
        &of_contexts(24),
        &place.folder,
        &options(Number::F32),
        Begin::New,
        &mut go_on,
    )
    .unwrap();
    let refused = write(
        &dataset("rows", 8),
        &place.folder,
        &options(Number::F32),
        Begin::Append,
        &mut go_on,
    );
    let why = refused.unwrap_err().to_string();
    assert!(
        why.contains("the store has the position of each row, and this data does not"),
        "{why}"
    );
    assert!(with_places(&place.folder).unwrap().places.is_some());
}

/// The second rows cannot be stored as f16.
#[test]
fn shape_of_pictures_stays_if_rows_cannot_be_added() {
    let place = place();
    let of = |value: f32| {
        let mut dataset = Dataset::new(Memory::new("pictures", 4, vec![value; 20]));
        dataset.image_shape = (value < 2.0).then_some((2, 2));
        dataset
    };
    let half = options(Number::F16);
    write(&of(1.0), &place.folder, &half, Begin::New, &mut go_on).unwrap();
    write(&of(1e6), &place.folder, &half, Begin::Append, &mut go_on).unwrap_err();
    assert_eq!(open_store(&place.folder).unwrap().image_shape, Some((2, 2)));
    write(&of(3.0), &place.folder, &half, Begin::Append, &mut go_on).unwrap();
    assert_eq!(open_store(&place.folder).unwrap().image_shape, None);
}

#[test]
fn other_tokens_are_refused_on_resume() {
    let place = masked();
    let mut other = of_contexts(24);
    other.places = Some(Places::every(4).unwrap().with_tokens(vec![9; 24]));
    for other in [
        other,
        Dataset {
            places: None,
            ..of_contexts(24)
        },
    ] {
        let settings = StoreOptions {
            skip_first: 1,
            ..masks()
        };
        let refused = write(&other, &place.folder, &settings, Begin::Resume, &mut go_on);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("or the data has changed")
        );
    }
}

#[test]
fn masks_without_positions_or_tokens_are_refused() {
    let mut without_tokens = of_contexts(8);
    without_tokens.places = Places::every(4);
    for (given, settings, words) in [
        (
            dataset("rows", 8),
            StoreOptions {
                skip_first: 1,
                ..options(Number::F32)
            },
            "`store.skip_first` needs the position",
        ),
        (
            without_tokens,
            StoreOptions {
                skip_tokens: vec![1],
                ..options(Number::F32)
            },
            "`store.skip_tokens` needs the token",
        ),
        (
            of_contexts(8),
            StoreOptions {
                skip_first: 4,
                ..options(Number::F32)
            },
            "all rows are left out",
        ),
    ] {
        let place = place();
        let refused = write(&given, &place.folder, &settings, Begin::New, &mut go_on)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(words), "{refused}");
        assert!(!place.folder.exists());
    }
    let place = masked();
    for (settings, words) in [
        (
            StoreOptions {
                skip_first: 2,
                ..masks()
            },
            "the store has `store.skip_first` 1, not 2",
        ),
        (
            StoreOptions {
                skip_tokens: vec![],
                ..masks()
            },
            "the store has `store.skip_tokens` [3], not []",
        ),
    ] {
        let refused = write(
            &of_contexts(24),
            &place.folder,
            &settings,
            Begin::Append,
            &mut go_on,
        )
        .unwrap_err()
        .to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn contexts_that_do_not_fit_are_named() {
    let place = masked();
    let file = place.folder.join("tokens/shard-00001.safetensors");
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x40;
        fs::write(&file, &changed).unwrap();
        // No change may end the process; a token may be another one, which `verify` finds.
        let _ = with_places(&place.folder);
        assert!(verify(&place.folder, &mut go_on).is_err());
    }
    fs::write(&file, &whole[..whole.len() - 4]).unwrap();
    let why = with_places(&place.folder).err().unwrap().to_string();
    assert!(
        why.contains("tokens/shard-00001.safetensors: damaged safetensors file: truncated"),
        "{why}"
    );
}
