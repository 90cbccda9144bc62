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

    /// Places of the rows of several data sets, one after the other, each with its number of rows. `None` without a data set, and unless all
    /// have tokens or all have none.
    pub(super) fn joined(parts: &[(usize, &Self)]) -> Option<Self> {
        let (_, first) = parts.first()?;
        if parts
            .iter()
            .any(|(_, places)| places.has_tokens() != first.has_tokens())
        {
            return None;
        }
        let tokens = parts
            .iter()
            .filter_map(|(_, places)| places.tokens.as_deref());
        let tokens = first
            .tokens
            .as_ref()
            .map(|_| tokens.flatten().copied().collect());
        let is_like_first = |(rows, places): &(usize, &Self)| {
            let is_whole = matches!(places.contexts, Contexts::Every(length) if (*rows as u64).is_multiple_of(length));
            is_whole && places.of_rows.is_none() && places.contexts == first.contexts
        };
        if parts.iter().all(is_like_first) {
            return Some(Self {
                contexts: first.contexts.clone(),
                of_rows: None,
                tokens,
            });
        }
        let (mut starts, mut of_rows, mut end) = (vec![0], Vec::new(), 0);
        for (rows, places) in parts {
            of_rows.extend((0..*rows).map(|row| end + places.place(row)));
            let contexts = places.contexts(*rows);
            starts.extend((1..=contexts).map(|context| end + places.start(context)));
            end += places.start(contexts);
        }
        Some(Self {
            contexts: Contexts::Starts(starts.into()),
            of_rows: Some(of_rows.into()),
            tokens,
        })
    }

    /// Number of contexts of a data set of this number of rows, with those that have no row.
    pub(super) fn contexts(&self, rows: usize) -> u64 {
        match (&self.contexts, &self.tokens) {
            (Contexts::Starts(starts), _) => starts.len() as u64 - 1,
            (Contexts::Every(length), Some(tokens)) => (tokens.len() as u64).div_ceil(*length),
            (Contexts::Every(_), None) => {
                rows.checked_sub(1).map_or(0, |last| self.context(last) + 1)
            }
        }
    }

    /// Places of the first rows, with the contexts that they are of.
    pub(super) fn first(self, rows: usize) -> Self {
        let contexts = rows.checked_sub(1).map_or(0, |last| self.context(last) + 1);
        let end = self.start(contexts) as usize;
        Self {
            tokens: self
                .tokens
                .map(|tokens| tokens[..end.min(tokens.len())].into()),
            of_rows: self.of_rows.map(|places| places[..rows].into()),
            contexts: match self.contexts {
                Contexts::Every(length) => Contexts::Every(length),
                Contexts::Starts(starts) => Contexts::Starts(starts[..=contexts as usize].into()),
            },
        }
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
        let [two, three] = [2, 3].map(|length| Places::every(length).unwrap());
        assert_eq!(Places::joined(&[(6, &places), (6, &three)]), None);
        // A context that is cut off, then contexts of another length.
        let both = Places::joined(&[(4, &three), (4, &two)]).unwrap();
        let of = |row| (both.context(row), both.position(row));
        assert_eq!(
            [3, 4, 5, 6, 7].map(of),
            [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1)]
        );
        assert_eq!(
            (both.contexts(8), places.contexts(5), three.contexts(4)),
            (4, 2, 2)
        );
        let cut = places.first(2);
        assert_eq!(
            (cut.contexts(2), cut.tokens_of(0)),
            (1, Some(&[7, 8, 9][..]))
        );
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
        let both = Places::joined(&[(3, &places), (3, &places)]).unwrap();
        let of = |row| (both.context(row), both.position(row), both.token(row));
        assert_eq!(
            [of(2), of(3), of(4)],
            [(2, 2, Some(9)), (3, 1, Some(6)), (5, 1, Some(8))]
        );
        let two = places.first(2);
        assert_eq!(
            (two.contexts(2), two.tokens_of(2), two.position(1)),
            (3, Some(&[7, 8, 9][..]), 1)
        );
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
