//! Tables without lines: a bold header, columns by alignment, nothing else.

use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table, presets};

/// A column's header; numbers stand right.
#[derive(Debug, Clone, Copy)]
pub enum Column {
    Left(&'static str),
    Right(&'static str),
}

/// A table being filled.
#[derive(Debug)]
pub struct Rows {
    columns: Vec<Column>,
    table: Table,
}

impl Rows {
    pub fn new(columns: &[Column]) -> Self {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        table.force_no_tty();
        let colours = console::colors_enabled();
        if colours {
            table.enforce_styling();
        }
        let header = columns.iter().map(|column| {
            let (name, alignment) = match column {
                Column::Left(name) => (name, CellAlignment::Left),
                Column::Right(name) => (name, CellAlignment::Right),
            };
            let cell = Cell::new(name).set_alignment(alignment);
            if colours {
                cell.add_attribute(Attribute::Bold)
            } else {
                cell
            }
        });
        table.set_header(header.collect::<Vec<_>>());
        Self {
            columns: columns.to_vec(),
            table,
        }
    }

    pub fn add<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.into_iter().zip(&self.columns).map(|(text, column)| {
            Cell::new(text).set_alignment(match column {
                Column::Left(_) => CellAlignment::Left,
                Column::Right(_) => CellAlignment::Right,
            })
        });
        self.table.add_row(cells.collect::<Vec<_>>());
    }

    pub fn render(&self) -> String {
        // Each cell is padded by one blank on both sides; the first one moves the whole table off the edge.
        let lines = self.table.lines().map(|line| {
            let line = line.strip_prefix(' ').unwrap_or(&line);
            format!("{}\n", line.trim_end())
        });
        lines.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_their_kind() {
        let mut rows = Rows::new(&[Column::Left("table"), Column::Right("rows")]);
        rows.add(["public.orders".into(), "1,234".into()]);
        rows.add(["x".into(), "7".into()]);
        assert_eq!(
            rows.render(),
            "table          rows\npublic.orders  1,234\nx              7\n"
                .replace("rows\n", " rows\n")
                .replace("7\n", "    7\n")
        );
    }
}
