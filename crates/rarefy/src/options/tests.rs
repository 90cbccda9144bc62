//! Checks of values, defaults, help texts and files.

use super::*;

option_set! {
    /// Options of a test.
    pub struct TestOptions {
        /// Target mean
        /// activation.
        rho: f64 = "0.05", Kind::Open(0.0, 1.0);
        /// If true, the decoder is the encoder.
        tied: bool = "false", Kind::Flag;
        /// Shares.
        levels: Auto<Vec<f64>> = "auto", Kind::Numbers;
        also group: GroupOptions;
    }
}

option_set! {
    /// Group of options of a test.
    pub struct GroupOptions {
        /// Number of latents.
        k: Auto<usize> = "auto", Kind::AutoCount(1), Unit::activation;
    }
}

#[test]
fn value_outside_its_range_is_refused_with_the_range() {
    let check = |value: &str| Options::check(TestOptions::TABLE, [("rho", value.to_owned())]);
    let error = check("1.5").unwrap_err().to_string();
    assert_eq!(error, "`rho` must be a number in (0, 1), got 1.5");
    assert!(check("NaN").is_err());
    for (name, value) in [
        ("levels", "0.5,-1"),
        ("levels", "0.5,"),
        ("k", "0"),
        ("k", "2.5"),
    ] {
        let given = [(name, value.to_owned())];
        assert!(
            Options::check(TestOptions::TABLE, given).is_err(),
            "{value}"
        );
    }
}

#[test]
fn unknown_key_suggests_the_nearest() {
    let error = Options::check(TestOptions::TABLE, [("rhoo", "0.1".into())]).unwrap_err();
    assert!(error.to_string().contains("did you mean `rho`?"), "{error}");
}

#[test]
fn defaults_fill_in() {
    let given = [("tied", "true".into()), ("levels", "0.25, 0.5".into())];
    let options = Options::check(TestOptions::TABLE, given).unwrap();
    let read = TestOptions::read(&options);
    let expected = TestOptions {
        rho: 0.05,
        tied: true,
        levels: Auto::Value(vec![0.25, 0.5]),
        group: GroupOptions { k: Auto::Auto },
    };
    assert_eq!(read, expected);
    assert_eq!(options.text("levels"), "0.25, 0.5");
}

#[test]
fn doc_text_is_the_help_text_and_groups_follow() {
    let lines = TestOptions::TABLE.iter().map(|o| (o.name, o.help));
    let expected = [
        ("rho", "Target mean activation."),
        ("tied", "If true, the decoder is the encoder."),
        ("levels", "Shares."),
        ("k", "Number of latents."),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
    let options = Options::defaults(TestOptions::TABLE);
    assert_eq!((TestOptions::TABLE[3].unit)(&options), Unit::Activation);
}

#[test]
fn file_may_hold_texts_or_numbers_but_no_unknown_key() {
    let read = |text: &str| toml::from_str::<TestOptions>(text);
    let numbers = read("rho = 0.1\ntied = true\nk = 3").unwrap();
    assert_eq!(
        numbers,
        read("rho = '0.1'\ntied = 'true'\nk = '3'").unwrap()
    );
    assert_eq!((numbers.rho, numbers.group.k), (0.1, Auto::Value(3)));
    for wrong in ["rho = 2", "roh = 0.1", "k = 2.5"] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
    let text = toml::to_string(&numbers).unwrap();
    assert_eq!(read(&text).unwrap(), numbers);
}
