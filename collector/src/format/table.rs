//! Aligned columns.

use super::escape::escape_cut;
use super::paint::{Ink, Paint};

/// Longest cell; what is longer is cut with `…` (JSON has it whole).
const CELL: usize = 48;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings, as wide as they need to be.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
    longest: usize,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new(), longest: CELL }
    }

    /// The same, whose cells are never cut: it holds nothing that a container says.
    pub fn whole(columns: &[&'static str]) -> Table {
        let columns: Vec<_> = columns.iter().map(|name| (*name, Align::Left)).collect();
        Table { longest: usize::MAX, ..Table::new(&columns) }
    }

    /// Adds a row; its cells may hold anything, they are escaped here. Missing cells stay empty.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let row = cells.into_iter().take(self.columns.len()).map(|c| escape_cut(c.as_ref(), self.longest).into_owned());
        self.rows.push(row.collect());
    }

    /// The text, headings first, each line ended.
    pub fn render(&self, paint: Paint) -> String {
        let width = |n: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count());
            cells.chain([self.columns[n].0.len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let mut out = String::new();
            for (n, width) in widths.iter().copied().enumerate() {
                let cell = cells.get(n).map_or("", String::as_str);
                let gap = if n == 0 { "" } else { "  " };
                match self.columns[n].1 {
                    Align::Left => out += &format!("{gap}{cell:<width$}"),
                    Align::Right => out += &format!("{gap}{cell:>width$}"),
                }
            }
            out.truncate(out.trim_end().len());
            out
        };
        let head: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut out = format!("{}\n", paint.ink(Ink::Bold, line(&head)));
        for row in &self.rows {
            out += &line(row);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_are_harmless() {
        let mut table = Table::new(&[("NAME", Align::Left), ("RECORDS", Align::Right), ("WHY", Align::Left)]);
        table.row(["web", "12", ""]);
        table.row(["a\x1b[2Jb", "3", "x"]);
        assert_eq!(table.render(Paint::OFF), "NAME       RECORDS  WHY\nweb             12\na\\x1b[2Jb        3  x\n");
    }

    #[test]
    fn a_long_cell_is_cut_and_a_short_row_is_filled() {
        let mut table = Table::new(&[("A", Align::Left), ("B", Align::Right)]);
        table.row(["x".repeat(100)]);
        let text = table.render(Paint::OFF);
        assert_eq!(text.lines().nth(1).unwrap().chars().count(), CELL);
        assert!(text.ends_with("…\n"));
    }
}
