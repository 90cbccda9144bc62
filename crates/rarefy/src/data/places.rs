//! Places of rows in their contexts: tokens of texts, patches of pictures.
//!
//! A context is a text that a model read at once, or a picture. The places of all contexts are counted one after the other; each row stands
//! at one of them, and in the order of the rows the places rise.

use std::sync::Arc;

/// Places of the rows of a data set, and the tokens at all places if they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    contexts: Contexts,
    /// Place of each row; `None` if row `i` stands at place `i`.
    of_rows: Option<Arc<[u64]>>,
    /// Token at each place.
    tokens: Option<Arc<[i32]>>,
}

/// First places of contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Contexts {
    /// Contexts of one length.
    Every(u64),
    /// First place of each context, then the number of places.
    Starts(Arc<[u64]>),
}

impl Places {
    /// Rows of complete contexts of `length` places each; `None` if that is 0.
    ///
    /// ```
    /// let places = rarefy::data::Places::every(3).unwrap().with_tokens(vec![7, 8, 9, 17, 18, 19]);
    /// assert_eq!((places.context(4), places.position(4), places.token(4)), (1, 1, Some(18)));
    /// ```
    #[must_use]
    pub fn every(length: usize) -> Option<Self> {
        (length > 0).then_some(Self {
            contexts: Contexts::Every(length as u64),
            of_rows: None,
            tokens: None,
        })
    }

    /// Rows at these places of contexts that begin at `starts`, which ends with the number of places. `None` unless both rise and
    /// fit together.
    pub(super) fn of(
        starts: Vec<u64>,
        of_rows: Vec<u64>,
        tokens: Option<Vec<i32>>,
    ) -> Option<Self> {
        let end = *starts.last()?;
        let fits = starts[0] == 0
            && starts.is_sorted()
            && of_rows.is_sorted_by(|a, b| a < b)
            && of_rows.last().is_none_or(|last| *last < end)
            && tokens
                .as_ref()
                .is_none_or(|tokens| tokens.len() as u64 == end);
        fits.then(|| Self {
            contexts: Contexts::Starts(starts.into()),
            of_rows: Some(of_rows.into()),
            tokens: tokens.map(Arc::from),
        })
    }

    /// Places with the tokens at all of them, context by context.
    #[must_use]
    pub fn with_tokens(self, tokens: Vec<i32>) -> Self {
        Self {
            tokens: Some(tokens.into()),
            ..self
        }
    }

    /// True if the tokens are known.
    #[must_use]
    pub fn has_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Number of the row's context, from 0.
    #[must_use]
    pub fn context(&self, row: usize) -> u64 {
        self.context_at(self.place(row))
    }

    /// Position of the row in its context, from 0.
    #[must_use]
    pub fn position(&self, row: usize) -> u64 {
        let place = self.place(row);
        place - self.start(self.context_at(place))
    }

    /// Token of the row; `None` if tokens are not known.
    #[must_use]
    pub fn token(&self, row: usize) -> Option<i32> {
        let tokens = self.tokens.as_ref()?;
        tokens.get(self.place(row) as usize).copied()
    }

    /// Tokens of a context, whether rows stand at them or not; `None` if tokens are not known.
    pub(super) fn tokens_of(&self, context: u64) -> Option<&[i32]> {
        let range = self.start(context) as usize..self.start(context + 1) as usize;
        self.tokens.as_ref()?.get(range)
    }

    /// Places of the rows of several data sets, one after the other, each with its number of rows. `None` unless all have whole contexts
    /// of the same length, all with tokens or all without.
    pub(super) fn joined(parts: &[(usize, &Self)]) -> Option<Self> {
        let (_, first) = parts.first()?;
        let Contexts::Every(length) = first.contexts else {
            return None;
        };
        let is_like_first = |(rows, places): &(usize, &Self)| {
            places.of_rows.is_none()
                && places.contexts == first.contexts
                && places.has_tokens() == first.has_tokens()
                && (*rows as u64).is_multiple_of(length)
        };
        let tokens = parts
            .iter()
            .filter_map(|(_, places)| places.tokens.as_deref());
        parts.iter().all(is_like_first).then(|| Self {
            contexts: Contexts::Every(length),
            of_rows: None,
            tokens: first
                .tokens
                .as_ref()
                .map(|_| tokens.flatten().copied().collect()),
        })
    }

    /// Places of `rows` rows but some, which are given in rising order.
    pub(super) fn without(self, rows: usize, left_out: &[usize]) -> Self {
        let kept = (0..rows).filter(|row| left_out.binary_search(row).is_err());
        Self {
            of_rows: Some(kept.map(|row| self.place(row)).collect()),
            ..self
        }
    }

    fn place(&self, row: usize) -> u64 {
        self.of_rows
            .as_ref()
            .map_or(row as u64, |places| places[row])
    }

    fn context_at(&self, place: u64) -> u64 {
        match &self.contexts {
            Contexts::Every(length) => place / length,
            Contexts::Starts(starts) => starts.partition_point(|start| *start <= place) as u64 - 1,
        }
    }

    /// First place of a context.
    pub(super) fn start(&self, context: u64) -> u64 {
        match &self.contexts {
            Contexts::Every(length) => context * length,
            Contexts::Starts(starts) => starts[context as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_contexts_of_one_length_are_counted() {
        let places = Places::every(3)
            .unwrap()
            .with_tokens(vec![7, 8, 9, 17, 18, 19]);
        assert_eq!(
            (places.context(4), places.position(4), places.token(4)),
            (1, 1, Some(18))
        );
        assert_eq!(places.tokens_of(1), Some(&[17, 18, 19][..]));
        let both = Places::joined(&[(6, &places), (6, &places)]).unwrap();
        assert_eq!(
            (both.context(9), both.position(9), both.token(9)),
            (3, 0, Some(17))
        );
        // A context that is cut off, contexts of other lengths, and tokens of one part only.
        let [two, three] = [2, 3].map(|length| Places::every(length).unwrap());
        for parts in [
            [(5, &places), (6, &places)],
            [(6, &three), (6, &two)],
            [(6, &places), (6, &three)],
        ] {
            assert_eq!(Places::joined(&parts), None);
        }
        assert_eq!(Places::every(0), None);
    }

    #[test]
    fn rows_stand_at_some_places_of_contexts_of_any_length() {
        // Contexts of 2, 0 and 3 places; rows at the second place of the first and the last two of the third.
        let places =
            Places::of(vec![0, 2, 2, 5], vec![1, 3, 4], Some(vec![5, 6, 7, 8, 9])).unwrap();
        let of = |row| (places.context(row), places.position(row), places.token(row));
        assert_eq!(
            [of(0), of(1), of(2)],
            [(0, 1, Some(6)), (2, 1, Some(8)), (2, 2, Some(9))]
        );
        assert_eq!(places.tokens_of(2), Some(&[7, 8, 9][..]));
        for (starts, rows, tokens) in [
            (vec![0, 2], vec![2], vec![1, 2]),
            (vec![0, 2], vec![1, 1], vec![1, 2]),
            (vec![1, 2], vec![1], vec![1, 2]),
            (vec![0, 2], vec![1], vec![1]),
            (vec![0, 2, 1], vec![0], vec![1]),
            (vec![], vec![], vec![]),
        ] {
            assert_eq!(Places::of(starts, rows, Some(tokens)), None);
        }
    }
}
