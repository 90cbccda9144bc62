//! Panics of the engine on sizes that do not fit the encoder.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::codes::Codes;
use crate::engine::{Encoder, Selection, decode};
use crate::params::{Layout, Params};

fn params(d_in: usize, d_sae: usize) -> Params {
    Params::zeros(&Layout::new(&[
        ("w_enc", d_sae, d_in),
        ("b_enc", 1, d_sae),
        ("w_dec", d_sae, d_in),
        ("b_dec", 1, d_in),
    ]))
}

#[track_caller]
fn panics(with: &str, act: impl FnOnce()) {
    let payload = catch_unwind(AssertUnwindSafe(act)).expect_err(with);
    let message = payload.downcast_ref::<String>().expect("a message");
    assert!(message.contains(with), "{message}");
}

#[test]
fn encode_panics_on_parameters_rows_or_codes_of_other_sizes() {
    let (own, row) = (params(3, 6), [0.0; 6]);
    let encoder = Encoder::new(&own);
    let row_2 = Selection::Row(2);
    let mut codes = Codes::new(6);
    // The first has another shape with the same number of values.
    for other in [params(6, 3), params(3, 5)] {
        panics("made of 6 latents of 3 inputs", || {
            encoder.encode_as_is(&other, &row, row_2, &mut codes);
        });
    }
    panics("b_dec must be rows of 3 inputs", || {
        encoder.encode(&params(6, 3), &row, row_2, &mut codes);
    });
    for x in [&row[..4], &row[..2]] {
        panics("rows of 3 inputs", || {
            encoder.encode(&own, x, row_2, &mut codes);
        });
        panics("x must be rows of 3 inputs", || {
            encoder.encode_as_is(&own, x, row_2, &mut codes);
        });
    }
    panics("6 latents, got 5", || {
        encoder.encode(&own, &row, row_2, &mut Codes::new(5));
    });
    assert_eq!(codes, Codes::new(6));
    encoder.encode(&own, &[], row_2, &mut codes);
    assert_eq!(codes.rows(), 0);
}

#[test]
fn encode_panics_on_wrong_number_of_groups_or_thresholds() {
    let own = params(3, 6);
    let encoder = Encoder::new(&own);
    let encode = |selection| {
        encoder.encode(&own, &[0.0; 3], selection, &mut Codes::new(6));
    };
    for groups in [0, 4, 12] {
        let selection = Selection::Groups { groups, k: 1 };
        panics("cannot be split into", || encode(selection));
    }
    for count in [0, 5, 7] {
        let selection = Selection::Each(&[0.0; 7][..count]);
        panics("expected one threshold for each", || encode(selection));
    }
    encode(Selection::Groups { groups: 6, k: 9 });
    encode(Selection::Each(&[0.0; 6]));
}

#[test]
fn encoder_and_decode_panic_on_parameters_of_wrong_sizes() {
    let blocks = |w_enc: usize, b_enc: usize| {
        let layout = Layout::new(&[("w_enc", 1, w_enc), ("b_enc", 1, b_enc)]);
        Params::zeros(&layout)
    };
    for (w_enc, b_enc) in [(7, 2), (0, 2), (2, 0)] {
        panics("w_enc must have a row for each", || {
            Encoder::new(&blocks(w_enc, b_enc));
        });
    }
    let mut codes = Codes::new(5);
    codes.push_dense(&[0.0; 10], 0.0);
    let mut x_hat = Vec::new();
    panics("w_dec must be 5 latents of 3 outputs", || {
        decode(&params(3, 6), &codes, 0..2, &mut x_hat);
    });
    panics("codes have 2 rows, not 3", || {
        decode(&params(3, 5), &codes, 1..3, &mut x_hat);
    });
    decode(&params(3, 5), &codes, 1..2, &mut x_hat);
    assert_eq!(x_hat, [0.0; 3]);
}

/// A transcoder may have fewer outputs than inputs, and does not subtract `b_dec` from its input.
#[test]
fn decode_writes_fewer_outputs_than_inputs() {
    let mut params = Params::zeros(&Layout::new(&[
        ("w_enc", 2, 3),
        ("b_enc", 1, 2),
        ("w_dec", 2, 1),
        ("b_dec", 1, 1),
    ]));
    let w_enc = [1.0, 0.0, 2.0, 0.0, 1.0, 0.0];
    params.get_mut("w_enc").copy_from_slice(&w_enc);
    params.get_mut("w_dec").copy_from_slice(&[10.0, 100.0]);
    params.get_mut("b_dec")[0] = 0.5;
    let mut codes = Codes::new(2);
    let x = [1.0, -1.0, 3.0, 0.0, 4.0, 0.0];
    Encoder::new(&params).encode_as_is(&params, &x, Selection::Above(0.0), &mut codes);
    assert_eq!(codes.to_dense(), [7.0, 0.0, 0.0, 4.0]);
    let mut x_hat = Vec::new();
    decode(&params, &codes, 0..2, &mut x_hat);
    assert_eq!(x_hat, [70.5, 400.5]);
}
