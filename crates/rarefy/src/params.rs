//! Model parameters as one flat vector with named blocks. Optimisers see the flat vector only.

/// Name and shape of one parameter block; a vector has one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamBlock {
    /// Name of the block: `w_enc`, `b_enc`, `w_dec`, `b_dec`, ...
    pub name: &'static str,
    /// Number of rows: `d_sae` for a matrix (row j belongs to latent j), 1 for a vector.
    pub rows: usize,
    /// Number of values in a row.
    pub cols: usize,
}

/// Parameter blocks of an architecture, in memory order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    blocks: Vec<ParamBlock>,
}

impl Layout {
    /// Layout of the blocks (name, rows, cols), in memory order.
    pub fn new(blocks: &[(&'static str, usize, usize)]) -> Self {
        Self {
            blocks: blocks
                .iter()
                .map(|&(name, rows, cols)| ParamBlock { name, rows, cols })
                .collect(),
        }
    }

    /// Parameter blocks in memory order.
    pub fn blocks(&self) -> &[ParamBlock] {
        &self.blocks
    }

    /// Number of values of all blocks.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|b| b.rows * b.cols).sum()
    }

    /// True if the blocks hold no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn range(&self, name: &str) -> Option<std::ops::Range<usize>> {
        let mut start = 0;
        for block in &self.blocks {
            let end = start + block.rows * block.cols;
            if block.name == name {
                return Some(start..end);
            }
            start = end;
        }
        None
    }
}

/// Model parameters: values of all blocks of a [`Layout`]. Gradients have the same type.
///
/// # Example
/// ```
/// use rarefy::params::{Layout, Params};
/// let mut params = Params::zeros(&Layout::new(&[("w_enc", 2, 3), ("b_enc", 1, 2)]));
/// params.get_mut("b_enc")[1] = 5.0;
/// assert_eq!(params.values(), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0]);
/// assert!(params.find("w_dec").is_none());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    layout: Layout,
    values: Vec<f32>,
}

impl Params {
    /// Parameters that are all zero.
    pub fn zeros(layout: &Layout) -> Self {
        Self {
            layout: layout.clone(),
            values: vec![0.0; layout.len()],
        }
    }

    /// Layout of the parameters.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// All values in memory order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values in memory order, mutable.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Values of the block `name`; `None` if the layout has no such block (as `w_dec` of a tied decoder).
    pub fn find(&self, name: &str) -> Option<&[f32]> {
        self.layout.range(name).map(|range| &self.values[range])
    }

    /// Values of the block `name`.
    ///
    /// # Panics
    /// If the layout has no block of this name.
    #[track_caller]
    pub fn get(&self, name: &str) -> &[f32] {
        self.find(name)
            .unwrap_or_else(|| panic!("no parameter block `{name}`"))
    }

    /// Values of the block `name`, mutable.
    ///
    /// # Panics
    /// If the layout has no block of this name.
    #[track_caller]
    pub fn get_mut(&mut self, name: &str) -> &mut [f32] {
        let range = self
            .layout
            .range(name)
            .unwrap_or_else(|| panic!("no parameter block `{name}`"));
        &mut self.values[range]
    }
}
