//! Cases that the peers' own tests work by hand, quoted there and worked again here. (The losses of `JumpReLU`, the
//! learning rates and the chances of resampling stand beside their code.)

use rarefy::codes::Codes;
use rarefy::config::Recipe;
use rarefy::data::Memory;
use rarefy::engine::{Encoder, Selection};
use rarefy::io_spec::IoSpec;
use rarefy::metrics;
use rarefy::model::Model;
use rarefy::optim::Descent;
use rarefy::optim::descent::Rule;
use rarefy::params::{Layout, Params};
use rarefy::preprocess::Pipeline;
use rarefy::train::sparse::resample::revive;
use rarefy::variants::{self, Options};

/// Both matrices the identity, no biases.
fn identity(d: usize) -> Params {
    let blocks = [
        ("w_enc", d, d),
        ("b_enc", 1, d),
        ("w_dec", d, d),
        ("b_dec", 1, d),
    ];
    let mut params = Params::zeros(&Layout::new(&blocks));
    for block in ["w_enc", "w_dec"] {
        (0..d).for_each(|i| params.get_mut(block)[i * d + i] = 1.0);
    }
    params
}

fn selected(rows: &[f32], d: usize, k: f64) -> Vec<f32> {
    let params = identity(d);
    let mut codes = Codes::new(d);
    Encoder::new(&params).encode(&params, rows, Selection::Batch(k), &mut codes);
    codes.to_dense()
}

/// `SAELens`, `tests/saes/test_batchtopk_sae.py`.
#[test]
fn batch_topk_keeps_what_saelens_keeps() {
    let signs = [1.0, -2.0, 3.0, -4.0, -5.0, 6.0, -7.0, 8.0];
    assert_eq!(
        selected(&signs, 4, 2.0),
        [1.0, 0.0, 3.0, 0.0, 0.0, 6.0, 0.0, 8.0]
    );
    let first = [1.0, 2.0, 3.0, 4.0, -5.0, -6.0, 0.5, -8.0];
    assert_eq!(
        selected(&first, 4, 2.0),
        [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]
    );
    // Three of two rows: the package keeps 8, 6 and 3.
    assert_eq!(
        selected(&signs, 4, 1.5),
        [0.0, 0.0, 3.0, 0.0, 0.0, 6.0, 0.0, 8.0]
    );
    // Four are wanted and two are positive.
    let few = [-1.0, 2.0, -3.0, -4.0, 5.0, -6.0, -7.0, -8.0];
    assert_eq!(
        selected(&few, 4, 2.0),
        [0.0, 2.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0]
    );
}

fn model(arch: &str, d: usize) -> Model {
    let info = variants::find(arch).unwrap();
    let options = Options::check(info.options(), []).unwrap();
    let layout = info
        .build(&options)
        .unwrap()
        .layout(&IoSpec::autoencoder(d), d);
    let mut params = Params::zeros(&layout);
    for block in ["w_enc", "w_dec"] {
        params
            .get_mut(block)
            .copy_from_slice(identity(d).get(block));
    }
    Model::autoencoder(info, options, params, Pipeline::identity(d)).unwrap()
}

/// `dictionary_learning`, `tests/unit/test_dictionary.py`: identity weights take `[2, -1]` to `[2, 0]`.
#[test]
fn identity_weights_keep_what_is_positive() {
    for arch in ["relu", "gated", "jumprelu"] {
        let model = model(arch, 2);
        assert_eq!(model.latents(&[2.0, -1.0]).0, [2.0, 0.0], "{arch}");
        assert_eq!(model.reconstruct_raw(&[2.0, -1.0]), [2.0, 0.0], "{arch}");
    }
}

/// `SAELens`, `tests/test_evals.py`: the identity explains everything, with as many latents as inputs. And the
/// ai-safety-foundation's densities: a latent on in one row of two has 1/2, one that is never on 0.
#[test]
fn the_identity_explains_everything() {
    let rows = Memory::new(
        "rows",
        3,
        vec![1.0, 2.0, 3.0, 0.5, 4.0, 1.0, 2.0, 2.0, 5.0, 3.0, 1.0, 0.25],
    );
    let evaluation = metrics::evaluate(&model("relu", 3), &rows).unwrap();
    assert_eq!((evaluation.explained_variance, evaluation.mse), (1.0, 0.0));
    assert_eq!((evaluation.l0, evaluation.dead_latents), (3.0, 0));
    let rows = Memory::new("rows", 3, vec![1.0, -1.0, -2.0, -0.5, -3.0, 4.0]);
    let evaluation = metrics::evaluate(&model("relu", 3), &rows).unwrap();
    let densities: Vec<f64> = evaluation.latents.iter().map(|l| l.firing_rate).collect();
    assert_eq!(densities, [0.5, 0.0, 0.5]);
    assert_eq!(evaluation.dead_latents, 1);
}

/// Case of ai-safety-foundation, `activation_resampler`: the row `[3, 4]` among encoder rows of length sqrt 2 becomes a fifth of
/// that long, 0.1697 and 0.2263; the optimiser resets the moments of this latent alone.
#[test]
fn a_resampled_row_is_a_fifth_as_long_as_the_others() {
    let mut params = identity(2);
    params
        .get_mut("w_enc")
        .copy_from_slice(&[1.0, 1.0, 9.0, 9.0]);
    let mut adam = Descent::new(Rule::ADAM, params.values());
    adam.moments
        .iter_mut()
        .for_each(|moments| moments.fill(1.0));
    let bound = (&IoSpec::autoencoder(2), &[][..]);
    let dead = [false, true];
    revive(
        &mut params,
        &mut adam,
        bound,
        &dead,
        &[3.0, 4.0],
        Recipe::Anthropic,
    );
    let w_enc = params.get("w_enc");
    assert!(
        (w_enc[2] - 0.1697).abs() < 5e-5 && (w_enc[3] - 0.2263).abs() < 5e-5,
        "{w_enc:?}"
    );
    assert_eq!(w_enc[..2], [1.0, 1.0]);
    assert_eq!(params.get("w_dec")[2..], [0.6, 0.8]);
    // w_enc, b_enc, w_dec, b_dec.
    let kept = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0];
    assert_eq!(adam.moments, [kept, kept]);
}
