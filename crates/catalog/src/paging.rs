//! Lists a page at a time. A cursor names the last item of a page, so items that come or go in between shift nothing.

use crate::error::{CatalogError, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone)]
pub struct Page {
    /// [`Paged::next`] of the page before.
    pub after: Option<String>,
    /// 1 to [`Page::MAX`].
    pub limit: u32,
    pub descending: bool,
}

impl Page {
    pub const MAX: u32 = 500;

    pub(crate) fn rows(&self) -> u32 {
        self.limit.clamp(1, Self::MAX)
    }
}

impl Default for Page {
    /// The newest fifty.
    fn default() -> Page {
        Page {
            after: None,
            limit: 50,
            descending: true,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Paged<T> {
    pub items: Vec<T>,
    /// Cursor of the next page, where there is one.
    pub next: Option<String>,
}

/// What a cursor says: the sort column's value and the id of the last item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub sort: String,
    pub value: f64,
    pub id: String,
}

impl Cursor {
    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a cursor is plain data"))
    }

    /// Reads a cursor that must have been made under the same order.
    pub(crate) fn decode(text: &str, sort: &str) -> Result<Cursor> {
        let wrong = || CatalogError::BadCursor;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let cursor: Cursor = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        if cursor.sort == sort {
            Ok(cursor)
        } else {
            Err(wrong())
        }
    }
}

impl<T> Paged<T> {
    /// Makes a page of one item more than was asked for, which tells whether there is a next one.
    pub(crate) fn of(mut items: Vec<T>, rows: u32, cursor: impl Fn(&T) -> Cursor) -> Paged<T> {
        let more = items.len() > rows as usize;
        items.truncate(rows as usize);
        let next = if more {
            items.last().map(|item| cursor(item).encode())
        } else {
            None
        };
        Paged { items, next }
    }
}
