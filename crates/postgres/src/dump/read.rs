//! Reading one piece: the rows of a table, or of a range of it, and large objects; hashed as they pass.

use super::{
    DumpSink, SegmentWriter,
    catalog::Relation,
    ranges::{self, BlockRange},
};
use crate::{
    Error, Result,
    archive::{LargeObjectHash, RowSummer},
    wire::Connection,
};
use pgkeep_model::{
    Progress,
    evidence::{ContentSum, LargeObjectEvidence, quote_literal},
    manifest::Segment,
};
use std::io::{self, Write};

/// Bytes of a large object read at once.
const LARGE_OBJECT_PIECE: usize = 1 << 20;
/// Bytes read of each object of a batch before it is read alone.
const LARGE_OBJECT_FIRST: usize = 128 << 10;

/// A segment that the sink has taken, and what it proves.
#[derive(Debug)]
pub(super) struct Stored {
    pub segment: Segment,
    pub token: u64,
    /// Of COPY text: the sum of its rows.
    pub sum: ContentSum,
}

/// Hands bytes to a segment that is asked of the sink when the first ones come, so empty ranges leave no trace.
struct Output<'a> {
    sink: &'a dyn DumpSink,
    segment: Option<Box<dyn SegmentWriter>>,
    progress: &'a dyn Progress,
}

impl<'a> Output<'a> {
    fn new(sink: &'a dyn DumpSink, progress: &'a dyn Progress) -> Self {
        Self {
            sink,
            segment: None,
            progress,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.segment.is_none() {
            self.segment = Some(self.sink.segment()?);
        }
        if let Some(segment) = &mut self.segment {
            segment.write_all(bytes)?;
        }
        self.progress.bytes(bytes.len() as u64);
        Ok(())
    }

    fn finish(self) -> io::Result<Option<Stored>> {
        let Some(segment) = self.segment else {
            return Ok(None);
        };
        let done = segment.finish()?;
        Ok(Some(Stored {
            segment: Segment {
                bytes: done.bytes,
                chunks: done.chunks,
                rows: None,
                blocks: None,
            },
            token: done.token,
            sum: ContentSum::default(),
        }))
    }
}

/// Stores bytes that are already there as a segment; `None` when there are none.
pub(super) fn store(
    bytes: &[u8],
    sink: &dyn DumpSink,
    progress: &dyn Progress,
) -> io::Result<Option<Stored>> {
    let mut output = Output::new(sink, progress);
    if !bytes.is_empty() {
        output.write(bytes)?;
    }
    output.finish()
}

/// The statement that reads a relation, or a range of it, as pg_dump would.
pub(crate) fn copy_statement(relation: &Relation, range: BlockRange, encoding: &str) -> String {
    let Relation { name, columns, .. } = relation;
    let condition = match (&relation.condition, ranges::condition(range)) {
        (Some(extension), _) => Some(extension.clone()),
        (None, range) => range.map(|r| format!("WHERE {r}")),
    };
    let source = match (condition, columns.is_empty()) {
        (None, true) => name.quoted(),
        (None, false) => format!("{} ({columns})", name.quoted()),
        (Some(condition), _) => {
            format!("(SELECT {columns} FROM ONLY {} {condition})", name.quoted())
        }
    };
    format!(
        "COPY {source} TO STDOUT WITH (ENCODING {})",
        quote_literal(encoding).trim_start()
    )
}

/// Reads a range of a table into a segment; `None` when it has no row.
pub(super) fn rows(
    connection: &mut Connection,
    relation: &Relation,
    range: BlockRange,
    encoding: &str,
    sink: &dyn DumpSink,
    progress: &dyn Progress,
) -> Result<Option<Stored>> {
    let doing = || format!("reading table {}", relation.name);
    let mut summer = RowSummer::new();
    let mut output = Output::new(sink, progress);
    let summary = connection
        .copy_out_batches(&copy_statement(relation, range, encoding), |batch| {
            summer.push_rows(batch.data, batch.ends);
            output.write(batch.data)
        })
        .map_err(|e| e.doing(doing()))?;
    let sum = summer.sum();
    if sum.rows != summary.rows {
        return Err(Error::Protocol {
            doing: doing(),
            what: format!(
                "{} rows where the server counted {}",
                sum.rows, summary.rows
            ),
        });
    }
    let stored = output.finish().map_err(|e| Error::local(doing(), e))?;
    Ok(stored.map(|mut stored| {
        stored.segment.rows = Some(sum.rows);
        stored.segment.blocks = Some(range).filter(|r| *r != (0, None));
        stored.sum = sum;
        stored
    }))
}

/// Reads large objects, each into a segment of its own (`None` for empty ones).
pub(super) fn large_objects(
    connection: &mut Connection,
    oids: &[u32],
    sink: &dyn DumpSink,
    progress: &dyn Progress,
) -> Result<Vec<(Option<Stored>, LargeObjectEvidence)>> {
    let list: Vec<String> = oids.iter().map(u32::to_string).collect();
    let first_pieces = connection
        .query(&format!(
            "SELECT lo_get(o, 0, {LARGE_OBJECT_FIRST}) FROM unnest('{{{}}}'::oid[]) WITH ORDINALITY u (o, place) \
             ORDER BY place",
            list.join(",")
        ))
        .map_err(|e| e.doing("reading large objects"))?;
    let mut stored = Vec::with_capacity(oids.len());
    for (oid, row) in oids.iter().zip(first_pieces.iter()) {
        let doing = || format!("reading large object {oid}");
        let mut hash = LargeObjectHash::new(*oid);
        let mut output = Output::new(sink, progress);
        let mut piece = bytea(row.get(0), &doing)?;
        let mut offset = 0;
        let mut wanted = LARGE_OBJECT_FIRST;
        loop {
            if !piece.is_empty() {
                hash.push(&piece);
                output.write(&piece).map_err(|e| Error::local(doing(), e))?;
            }
            if piece.len() < wanted {
                break;
            }
            offset += piece.len();
            wanted = LARGE_OBJECT_PIECE;
            let next = connection
                .query_one(&format!("SELECT lo_get({oid}, {offset}, {wanted})"))
                .map_err(|e| e.doing(doing()))?;
            piece = bytea(next.get(0, 0), &doing)?;
        }
        let object = output.finish().map_err(|e| Error::local(doing(), e))?;
        stored.push((object, hash.finish()));
    }
    if stored.len() != oids.len() {
        return Err(Error::Protocol {
            doing: "reading large objects".into(),
            what: format!(
                "{} objects where {} were asked for",
                stored.len(),
                oids.len()
            ),
        });
    }
    Ok(stored)
}

fn bytea(value: Option<&str>, doing: &dyn Fn() -> String) -> Result<Vec<u8>> {
    value
        .and_then(|v| hex::decode(v.strip_prefix("\\x")?).ok())
        .ok_or_else(|| Error::Protocol {
            doing: doing(),
            what: "the value is not bytea in hex format".into(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgkeep_model::evidence::QualifiedName;

    fn relation(columns: &str, condition: Option<&str>) -> Relation {
        Relation {
            name: QualifiedName::new("s", "a\"b"),
            root: None,
            columns: columns.into(),
            is_heap: true,
            blocks: 0,
            block_size: 8192,
            bytes: 0,
            condition: condition.map(str::to_owned),
        }
    }

    #[test]
    fn statements_read_what_pg_dump_reads() {
        let whole = (0, None);
        assert_eq!(
            copy_statement(&relation("id, \"a b\"", None), whole, "UTF8"),
            "COPY \"s\".\"a\"\"b\" (id, \"a b\") TO STDOUT WITH (ENCODING 'UTF8')"
        );
        assert_eq!(
            copy_statement(&relation("", None), whole, "LATIN1"),
            "COPY \"s\".\"a\"\"b\" TO STDOUT WITH (ENCODING 'LATIN1')"
        );
        assert_eq!(
            copy_statement(&relation("id", Some("WHERE id > 5")), whole, "UTF8"),
            "COPY (SELECT id FROM ONLY \"s\".\"a\"\"b\" WHERE id > 5) TO STDOUT WITH (ENCODING 'UTF8')"
        );
        assert_eq!(
            copy_statement(&relation("id", None), (8, None), "UTF8"),
            "COPY (SELECT id FROM ONLY \"s\".\"a\"\"b\" WHERE ctid >= '(8,0)'::tid) TO STDOUT WITH (ENCODING 'UTF8')"
        );
    }
}
