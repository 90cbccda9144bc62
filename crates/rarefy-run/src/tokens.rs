//! Tokens of a language model for the logit lens: its output matrix and its vocabulary, from files.

use std::collections::HashMap;
use std::path::Path;

use rarefy::data::{self, OpenOptions};
use rarefy::latents::{self, Lens};
use rarefy::model::Model;
use rarefy::{Error, Result};

/// Number of tokens that are shown of each end.
const COUNT: usize = 10;

/// Tokens that each latent raises and lowers.
pub struct Tokens {
    vocabulary: Vec<String>,
    /// Tokens of each latent, those that it raises most and lowers most.
    pub of_latents: Vec<Lens>,
}

impl Tokens {
    /// Reads the output matrix and the vocabulary from files.
    ///
    /// # Errors
    /// [`Error::Shape`] for a matrix of another width, or another number of tokens; errors of reading the files.
    pub fn read(matrix: &str, words: &Path, model: &Model) -> Result<Self> {
        let unembedding = unembedding(matrix, model.raw_d_out())?;
        let name = words.display().to_string();
        Self::named(&unembedding, vocabulary(words)?, model, (&name, matrix))
    }

    /// Tokens of an output matrix `[tokens, raw_d_out]`, row by row.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of tokens than rows of the matrix.
    pub fn new(unembedding: &[f32], vocabulary: Vec<String>, model: &Model) -> Result<Self> {
        Self::named(
            unembedding,
            vocabulary,
            model,
            ("vocabulary", "unembedding"),
        )
    }

    /// [`Tokens::new`] with the names of vocabulary and matrix for errors.
    fn named(
        unembedding: &[f32],
        vocabulary: Vec<String>,
        model: &Model,
        (words, matrix): (&str, &str),
    ) -> Result<Self> {
        let tokens = unembedding.len() / model.raw_d_out();
        if vocabulary.len() != tokens {
            return Err(Error::Shape {
                what: format!("{words}: tokens"),
                expected: format!("{tokens}, the tokens of {matrix}"),
                got: vocabulary.len().to_string(),
            });
        }
        let of_latents = latents::lens(model, unembedding, COUNT)?;
        Ok(Self {
            vocabulary,
            of_latents,
        })
    }

    /// Token by its number.
    pub fn word(&self, token: usize) -> &str {
        &self.vocabulary[token]
    }

    /// Data of the explorer: the tokens that occur, and their logits.
    pub fn for_page(&self) -> rarefy_report::Lens {
        let mut page = rarefy_report::Lens::default();
        let mut places: HashMap<usize, u32> = HashMap::new();
        let mut words = Vec::new();
        let mut packed = |list: &[(usize, f32)]| -> Vec<(u32, f32)> {
            let entry = |(token, logit): &(usize, f32)| {
                let place = *places.entry(*token).or_insert_with(|| {
                    words.push(self.word(*token).to_owned());
                    words.len() as u32 - 1
                });
                (place, *logit)
            };
            list.iter().map(entry).collect()
        };
        for lens in &self.of_latents {
            page.raised.push(packed(&lens.raised));
            page.lowered.push(packed(&lens.lowered));
        }
        page.tokens = words;
        page
    }
}

/// Names of output matrices in files of language models, the best first; models without one use their embedding.
const MATRICES: [&str; 6] = [
    "lm_head.weight",
    "embed_out.weight",
    "output.weight",
    "model.embed_tokens.weight",
    "transformer.wte.weight",
    "wte.weight",
];

/// Error of opening a file with several tensors, with the way to name one.
fn naming_member(path: &str, error: Error) -> Error {
    let text = error.to_string();
    if !text.contains("choose one with `data.member`") {
        return error;
    }
    let named = MATRICES.iter().find(|name| text.contains(**name));
    let example = named.unwrap_or(&"NAME");
    let why = format!(
        "expected one matrix, got a file of several; name the output matrix as {path}::{example}"
    );
    Error::format(path, why)
}

/// Output matrix with a row for each token, whichever way round the file has it.
fn unembedding(path: &str, width: usize) -> Result<Vec<f32>> {
    let source = data::open(path, &OpenOptions::default());
    let source = source.map_err(|error| naming_member(path, error))?.source;
    let (rows, columns) = (source.rows(), source.d_in());
    let mut values = vec![0.0; rows * columns];
    source.read(0, &mut values)?;
    if columns == width {
        return Ok(values);
    }
    if rows == width {
        let turned =
            (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
        return Ok(turned.map(|at| values[at]).collect());
    }
    Err(Error::Shape {
        what: format!("{path}: unembedding"),
        expected: format!(
            "a matrix with {width} columns (or rows), the width of the model's output"
        ),
        got: format!("{rows} x {columns}"),
    })
}

/// Tokens in the order of their numbers: from JSON, as a list or as an object of numbers, or from lines of text.
fn vocabulary(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    if path.extension().is_none_or(|ending| ending != "json") {
        return Ok(text.lines().map(str::to_owned).collect());
    }
    let bad = |why: String| {
        Error::format(
            path,
            format!("expected a list of tokens, or an object of tokens and their numbers: {why}"),
        )
    };
    if let Ok(list) = serde_json::from_str::<Vec<String>>(&text) {
        return Ok(list);
    }
    let numbers: HashMap<String, usize> =
        serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    let mut tokens: Vec<Option<String>> = vec![None; numbers.len()];
    for (token, number) in numbers {
        let place = tokens
            .get_mut(number)
            .ok_or_else(|| bad(format!("the number {number} is too large")))?;
        *place = Some(token);
    }
    let tokens: Option<Vec<String>> = tokens.into_iter().collect();
    tokens.ok_or_else(|| bad("two tokens have the same number".into()))
}
