//! Scores of one resource on all nodes.

use super::N;

/// Where probes are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Probe {
    #[default]
    Always,
    Never,
    Exclusive,
}

/// What one resource has on one node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) score: i32,
    pub(crate) count: u16,
    pub(crate) probe: Probe,
    /// False where the node does not exist for the resource.
    pub(crate) present: bool,
}

/// One cell for each node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    cells: Vec<Cell>,
}

impl Cell {
    /// A node that does not exist for the resource.
    pub(crate) const NONE: Self = Self { score: 0, count: 0, probe: Probe::Always, present: false };
}

impl Table {
    /// All cells, present or not, in the order nodes were made; the last ones may be missing.
    pub(crate) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Sets the scores of the nodes that are present.
    pub(crate) fn set_scores(&mut self, scores: &[i32]) {
        for (cell, score) in self.cells.iter_mut().zip(scores).filter(|(c, _)| c.present) {
            cell.score = *score;
        }
    }

    pub(crate) fn get(&self, n: N) -> Option<&Cell> {
        self.cells.get(n.0 as usize).filter(|c| c.present)
    }

    pub(crate) fn get_mut(&mut self, n: N) -> Option<&mut Cell> {
        self.cells.get_mut(n.0 as usize).filter(|c| c.present)
    }

    pub(crate) fn insert(&mut self, n: N, cell: Cell) -> &mut Cell {
        let i = n.0 as usize;
        if i >= self.cells.len() {
            self.cells.resize(i + 1, Cell::default());
        }
        self.cells[i] = Cell { present: true, ..cell };
        &mut self.cells[i]
    }

    pub(crate) fn remove(&mut self, n: N) {
        if let Some(c) = self.cells.get_mut(n.0 as usize) {
            c.present = false;
        }
    }

    /// The present cells, in the order nodes were made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (N, &Cell)> {
        self.cells.iter().enumerate().filter(|(_, c)| c.present).map(|(i, c)| (index(i), c))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (N, &mut Cell)> {
        self.cells.iter_mut().enumerate().filter(|(_, c)| c.present).map(|(i, c)| (index(i), c))
    }

    /// The nodes that are present.
    pub(crate) fn nodes(&self) -> Vec<N> {
        self.iter().map(|(n, _)| n).collect()
    }
}

fn index(i: usize) -> N {
    N(u32::try_from(i).unwrap_or(u32::MAX))
}
