//! Names of latents from the texts and labels of the rows on which they are most active.
//!
//! A word describes a latent if it is in many of these rows and in few others:
//!
//! ```text
//! share = sum of activations of the top rows with the word / sum over all top rows
//! lift  = share / (share of all rows with the word)
//! score = share ln(lift)
//! ```
//!
//! This is the class-based TF-IDF of `BERTopic` with activations as weights: the top rows of a latent are its class.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use rayon::prelude::*;

use super::TopRow;
use crate::data::Dataset;

/// Number of most active rows that a name comes from: a few rows share no words by chance, or all of them.
pub const FOR_NAMES: usize = 50;
/// Number of words in a name.
const MOST_WORDS: usize = 3;
/// Least share of the top rows, by activation, that have a word of the name.
const LEAST_SHARE: f64 = 0.1;
/// Least lift of a word of the name.
const LEAST_LIFT: f64 = 3.0;
/// Least lift of a class: there are few, so chance is small.
const LEAST_LIFT_OF_CLASS: f64 = 1.2;
/// Number of different labels up to which labels are classes.
const MOST_CLASSES: usize = 200;
/// Terms of a text from which on it may be a copy of another.
const COPY_OF: usize = 4;
/// Longest word in characters.
const LONGEST: usize = 40;
/// Words that say little about any text.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let words = "\
        a about after again all also although am an and any anyone anything are aren't as at be because been before \
        being between both but by can can't could couldn't did didn't do does doesn't doing don't down each else even \
        ever every everything few for from get gets getting given go goes going gone got had has hasn't have haven't \
        having he he's her here hers him himself his how however i i'd i'll i'm i've if in instead into is isn't it it'd \
        it'll it's its itself just kind less let let's lets like lot made make makes making many may maybe me might mine \
        more most much must my myself neither nor now of off often on once one ones only onto or other \
        others our out over own per perhaps put quite rather really said same say says see seem seems several shall she \
        she's should shouldn't since so some something sometimes somewhat still such take takes than that that's the \
        their them themselves then there there's these they they'd they're they've thing things this those though \
        through thus to too toward under until up upon us use used using very was wasn't way we we're we've well were \
        what what's whatever when where whether which while who who's whom whose why will with within without won't \
        would wouldn't yet you you'd you'll you're you've your yours";
    words.split(' ').collect()
});

/// The words of a text in lower case, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Words(Vec<String>);

impl Words {
    /// Words of a text: runs of letters and digits, with apostrophes inside. A possessive ending is left out: `movie's` is
    /// the word `movie`.
    pub fn of(text: &str) -> Self {
        let is_part = |c: char| c.is_alphanumeric() || c == '\'' || c == '\u{2019}';
        let words = text.split(|c: char| !is_part(c));
        let words = words.map(|word| {
            let word = word.trim_matches(['\'', '\u{2019}']).to_lowercase();
            let word = word.replace('\u{2019}', "'");
            word.strip_suffix("'s").map(str::to_owned).unwrap_or(word)
        });
        Self(words.filter(|word| !word.is_empty()).collect())
    }

    /// Different words that may describe a text, and pairs of neighbours.
    fn terms(&self) -> HashSet<String> {
        let says = |word: &String| {
            // Single letters are the rest of `:D`, of initials, of plurals in brackets.
            let is_letter = word.len() == 1 && word.chars().all(char::is_alphabetic);
            !is_letter && !COMMON.contains(word.as_str()) && word.chars().count() <= LONGEST
        };
        let mut terms: HashSet<String> = self.0.iter().filter(|word| says(word)).cloned().collect();
        let pairs = self.0.windows(2).filter(|pair| pair.iter().all(says));
        terms.extend(pairs.map(|pair| pair.join(" ")));
        terms
    }
}

/// Words that a text is searched for.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    words: Vec<String>,
    beginnings: Vec<String>,
}

impl Search {
    /// Search for all words of a text, in any order. A word that ends in `*` stands for all words that begin so.
    ///
    /// # Example
    /// ```
    /// use rarefy::latents::{Search, Words};
    /// let text = Words::of("It isn't the movie's end, New-Yorker!");
    /// assert!(Search::of("york* isn't").finds(&text) && Search::of("movie").finds(&text));
    /// assert!(!Search::of("york").finds(&text) && !Search::of("*").finds(&text));
    /// ```
    pub fn of(words: &str) -> Self {
        let mut search = Self {
            words: Vec::new(),
            beginnings: Vec::new(),
        };
        for part in words.split_whitespace() {
            let mut of_part = Words::of(part).0;
            if part.ends_with('*') {
                search.beginnings.extend(of_part.pop());
            }
            search.words.append(&mut of_part);
        }
        search
    }

    /// True if a text has all words. A search without words finds nothing.
    pub fn finds(&self, text: &Words) -> bool {
        let begins = |start: &String| text.0.iter().any(|word| word.starts_with(start));
        !(self.words.is_empty() && self.beginnings.is_empty())
            && self.words.iter().all(|word| text.0.contains(word))
            && self.beginnings.iter().all(begins)
    }
}

/// Name of each latent from its most active rows: from texts if the data has any, else from labels. Empty for a latent
/// whose rows have nothing in common.
pub fn names(tops: &[&[TopRow]], data: &Dataset) -> Vec<String> {
    if let Some(texts) = &data.texts {
        let words = |row: usize| Words::of(&texts[row]).terms();
        return by_terms(tops, texts.len(), LEAST_LIFT, &words, &|word, _| {
            word.to_owned()
        });
    }
    let Some(labels) = &data.labels else {
        return vec![String::new(); tops.len()];
    };
    let different: HashSet<&String> = labels.iter().collect();
    let is_score = |label: &&String| label.is_empty() || label.parse::<f64>().is_ok();
    if different.len() > MOST_CLASSES && different.iter().all(is_score) {
        return vec![String::new(); tops.len()];
    }
    if different.len() > MOST_CLASSES || different.len() * 2 > labels.len() {
        let first = |top: &&[TopRow]| {
            let rows = top.iter().take(MOST_WORDS);
            let rows = rows.map(|top| labels[top.row].as_str());
            rows.collect::<Vec<_>>().join(", ")
        };
        return tops.iter().map(first).collect();
    }
    // A row without a label is of no class.
    let class = |row: usize| {
        HashSet::from_iter(Some(labels[row].clone()).filter(|label| !label.is_empty()))
    };
    let with_share = |class: &str, share: f64| format!("{class} ({:.0} %)", 100.0 * share);
    let mut names = by_terms(tops, labels.len(), LEAST_LIFT_OF_CLASS, &class, &with_share);
    for (name, top) in names.iter_mut().zip(tops) {
        if name.is_empty() && !top.is_empty() {
            "mixed".clone_into(name);
        }
    }
    names
}

/// Names from the terms of rows.
fn by_terms(
    tops: &[&[TopRow]],
    rows: usize,
    least_lift: f64,
    terms: &(dyn Fn(usize) -> HashSet<String> + Sync),
    write: &dyn Fn(&str, f64) -> String,
) -> Vec<String> {
    let shares: Vec<HashMap<String, f64>> = tops.par_iter().map(|top| shares(top, terms)).collect();
    // Frequencies of candidates alone: texts have many more words.
    let candidates = shares.iter().flat_map(|shares| shares.keys());
    let mut counts: HashMap<String, f64> = candidates.map(|term| (term.clone(), 0.0)).collect();
    for row in 0..rows {
        for term in terms(row) {
            if let Some(count) = counts.get_mut(&term) {
                *count += 1.0;
            }
        }
    }
    let name = |shares: HashMap<String, f64>| {
        let scored = shares.into_iter().filter_map(|(term, share)| {
            let lift = share / (counts[&term] / rows as f64);
            (lift >= least_lift).then(|| (share * lift.ln(), share, term))
        });
        let mut scored: Vec<(f64, f64, String)> = scored.collect();
        // Of equal scores a pair says more than its words.
        let words = |text: &str| text.split(' ').count();
        scored.sort_by(|a, b| {
            let by_score = b.0.total_cmp(&a.0);
            by_score
                .then_with(|| words(&b.2).cmp(&words(&a.2)))
                .then_with(|| a.2.cmp(&b.2))
        });
        let mut chosen: Vec<(f64, String)> = Vec::new();
        for (_, share, term) in scored {
            let overlaps = |(_, other): &(f64, String)| {
                let of = |text: &str| text.split(' ').map(str::to_owned).collect::<HashSet<_>>();
                !of(other).is_disjoint(&of(&term))
            };
            if chosen.len() < MOST_WORDS && !chosen.iter().any(overlaps) {
                chosen.push((share, term));
            }
        }
        let words = chosen.iter().map(|(share, term)| write(term, *share));
        words.collect::<Vec<_>>().join(", ")
    };
    shares.into_iter().map(name).collect()
}

/// True for texts that share more than half of their terms.
fn is_copy(a: &HashSet<String>, b: &HashSet<String>) -> bool {
    let shared = a.intersection(b).count();
    2 * shared > a.len() + b.len() - shared
}

/// Terms that at least two top rows have, with their shares by activation, if large enough.
fn shares(
    top: &[TopRow],
    terms: &(dyn Fn(usize) -> HashSet<String> + Sync),
) -> HashMap<String, f64> {
    let mut sums: HashMap<String, (f64, usize)> = HashMap::new();
    let mut all = 0.0;
    let mut counted: Vec<HashSet<String>> = Vec::new();
    for top in top {
        let own = terms(top.row);
        // Copies of a text, such as repeated messages, say no more than one of them.
        if own.len() >= COPY_OF && counted.iter().any(|other| is_copy(&own, other)) {
            continue;
        }
        let weight = f64::from(top.activation.abs());
        all += weight;
        for term in &own {
            let (sum, rows) = sums.entry(term.clone()).or_default();
            *sum += weight;
            *rows += 1;
        }
        counted.push(own);
    }
    let kept = sums.into_iter().filter(|(_, (_, rows))| *rows > 1);
    let shares = kept.map(|(term, (sum, _))| (term, sum / all));
    shares.filter(|(_, share)| *share >= LEAST_SHARE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Memory;
    use crate::latents::TopRow;

    fn named(texts: Option<&[&str]>, labels: Option<&[&str]>, top: &[(usize, f32)]) -> String {
        let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let mut data = Dataset::new(Memory::new("rows", 1, vec![0.0; 8]));
        (data.texts, data.labels) = (texts.map(owned), labels.map(owned));
        let top = top
            .iter()
            .map(|&(row, activation)| TopRow { row, activation });
        let top: Vec<TopRow> = top.collect();
        names(&[&top], &data).remove(0)
    }

    #[test]
    fn words_of_the_top_rows_that_others_lack_make_the_name() {
        let texts = [
            "The flight to New York was late",
            "A flight delayed by hours from New York to Boston",
            "I love the hotel",
            "The food was late",
            "The food is good",
            "Good food and a bad hotel",
            "The hotel was good",
            "late",
        ];
        // `new york` and `flight` have the share 1 and the lift 4.
        let name = named(Some(&texts), None, &[(0, 2.0), (1, 1.0)]);
        assert_eq!(name, "new york, flight");
        // A word of one row alone, and words of all rows, are no name.
        assert_eq!(named(Some(&texts), None, &[(2, 2.0), (4, 1.0)]), "");
    }

    #[test]
    fn single_letters_and_possessives_are_no_words_of_a_name() {
        let texts = [
            "the film's end :D",
            "a film :D",
            "the sea",
            "a tree",
            "some wind",
            "red",
            "blue",
            "green",
        ];
        let name = named(Some(&texts), None, &[(0, 2.0), (1, 1.0)]);
        assert_eq!(name, "film");
    }

    #[test]
    fn classes_are_named_with_their_share_and_words_as_they_are() {
        let labels = ["0", "0", "1", "1", "1", "1", "2", "2"];
        let name = named(None, Some(&labels), &[(0, 3.0), (1, 3.0), (2, 2.0)]);
        assert_eq!(name, "0 (75 %)");
        let words = ["a", "b", "c", "d", "e", "f", "g", "h"];
        assert_eq!(named(None, Some(&words), &[(3, 2.0), (1, 1.0)]), "d, b");
        assert_eq!(named(None, None, &[(0, 1.0)]), "");
        // Half of the rows are of class 1, and so are half of the most active rows.
        assert_eq!(
            named(None, Some(&labels), &[(2, 1.0), (0, 0.5), (6, 0.5)]),
            "mixed"
        );
    }

    #[test]
    fn copies_of_a_text_count_once() {
        let copy = "RT hate paperwork papercuts suck, worse";
        let texts = [
            copy,
            copy,
            copy,
            "RT: hate paperwork, papercuts suck",
            "a late train again",
            "my train is late",
            "good food",
            "bad food",
            "a",
            "b",
            "c",
            "d",
        ];
        let top: Vec<(usize, f32)> = (0..6).map(|row| (row, 1.0)).collect();
        assert_eq!(named(Some(&texts), None, &top), "late, train");
    }
}
