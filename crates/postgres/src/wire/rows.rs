//! The rows of one result, as text.

use super::input::Body;
use std::{fmt, ops::Range, str::FromStr};

/// A result set held in memory; meant for catalogs, not for user data.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    columns: Vec<String>,
    text: String,
    /// Row by row; `None` is NULL.
    cells: Vec<Option<Range<usize>>>,
    count: usize,
    tag: String,
}

/// One row of a [`Rows`].
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    rows: &'a Rows,
    index: usize,
}

/// A column by position or by name.
pub trait Column: fmt::Debug + Copy {
    fn position(self, columns: &[String]) -> Option<usize>;
}

impl Column for usize {
    fn position(self, columns: &[String]) -> Option<usize> {
        (self < columns.len()).then_some(self)
    }
}

impl Column for &str {
    fn position(self, columns: &[String]) -> Option<usize> {
        columns.iter().position(|c| c == self)
    }
}

impl Rows {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The command tag, `SELECT 5` or `CREATE TABLE`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The number at the end of the command tag: rows selected, copied or changed.
    pub fn affected(&self) -> u64 {
        affected(&self.tag)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        (0..self.count).map(|index| Row { rows: self, index })
    }

    pub fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    /// A value; `None` is NULL.
    ///
    /// # Panics
    /// When there is no such row or column, which is a mistake in the query's caller.
    pub fn get(&self, row: usize, column: impl Column) -> Option<&str> {
        assert!(row < self.count, "row {row} of {}", self.count);
        Row {
            rows: self,
            index: row,
        }
        .get(column)
    }

    pub(super) fn set_columns(&mut self, body: &[u8]) -> Option<()> {
        let mut body = Body(body);
        let count = body.i16()?;
        for _ in 0..count {
            let name = body.text()?;
            body.bytes(18)?;
            self.columns
                .push(String::from_utf8_lossy(name).into_owned());
        }
        Some(())
    }

    /// Adds a DataRow; the error says what is wrong with it.
    pub(super) fn push(&mut self, body: &[u8]) -> Result<(), String> {
        let mut body = Body(body);
        let short = || "a row is cut short".to_owned();
        let count = body.i16().ok_or_else(short)?;
        if usize::try_from(count).ok() != Some(self.columns.len()) {
            return Err("a row does not have as many values as there are columns".into());
        }
        for column in &self.columns {
            let cell = match body.i32().ok_or_else(short)? {
                -1 => None,
                length => {
                    let bytes = usize::try_from(length)
                        .ok()
                        .and_then(|n| body.bytes(n))
                        .ok_or_else(short)?;
                    let value = std::str::from_utf8(bytes).map_err(|_| {
                        format!("column {column} holds text that is not valid UTF-8")
                    })?;
                    let start = self.text.len();
                    self.text.push_str(value);
                    Some(start..self.text.len())
                }
            };
            self.cells.push(cell);
        }
        self.count += 1;
        Ok(())
    }

    pub(super) fn set_tag(&mut self, tag: String) {
        self.tag = tag;
    }
}

pub(super) fn affected(tag: &str) -> u64 {
    tag.rsplit(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

impl<'a> Row<'a> {
    /// A value; `None` is NULL.
    ///
    /// # Panics
    /// When there is no such column, which is a mistake in the query's caller.
    pub fn get(self, column: impl Column) -> Option<&'a str> {
        let position = column
            .position(&self.rows.columns)
            .unwrap_or_else(|| panic!("no column {column:?} among {:?}", self.rows.columns));
        self.rows.cells[self.index * self.rows.columns.len() + position]
            .clone()
            .map(|range| &self.rows.text[range])
    }

    /// A value as an owned string, empty for NULL.
    pub fn text(self, column: impl Column) -> String {
        self.get(column).unwrap_or_default().to_owned()
    }

    pub fn optional(self, column: impl Column) -> Option<String> {
        self.get(column).map(str::to_owned)
    }

    /// A value read as a number or the like; `None` when it is NULL or does not parse.
    pub fn parse<T: FromStr>(self, column: impl Column) -> Option<T> {
        self.get(column)?.parse().ok()
    }

    /// A boolean in the server's spelling; NULL is false.
    pub fn is_true(self, column: impl Column) -> bool {
        self.get(column) == Some("t")
    }
}
