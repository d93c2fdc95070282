//! Putting what was read together: members with their segments in order, and the evidence.

use super::{
    DumpSink, DumpedDatabase,
    plan::{Plan, PlannedMember},
    read::{self, Stored},
    run::MemberResult,
};
use crate::{
    Error, Result,
    archive::{
        COPY_END, Entry, LargeObjectSummer, SequenceValue, Toc, count_objects, schema_sha256,
        write_directory_toc,
    },
};
use pgkeep_model::{
    Progress,
    evidence::{
        ContentSum, DatabaseEvidence, ExtensionEvidence, QualifiedName, SequenceEvidence,
        TableEvidence,
    },
    manifest::{DatabaseManifest, Member, MemberContent},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Everything that is known beside the members.
pub(super) struct Known {
    /// Filled in except for members and evidence.
    pub manifest: DatabaseManifest,
    pub extensions: Vec<ExtensionEvidence>,
    /// Names of sequences by the OID in their entries.
    pub sequence_names: HashMap<u32, QualifiedName>,
}

/// Stores the small pieces (`toc.dat`, end marks, lists) and fills in the manifest.
pub(super) fn assemble(
    plan: &Plan,
    results: Vec<MemberResult>,
    known: Known,
    sink: &dyn DumpSink,
    progress: &dyn Progress,
) -> Result<DumpedDatabase> {
    let mut dumped = DumpedDatabase {
        manifest: known.manifest,
        toc: plan.toc.clone(),
        tokens: Vec::new(),
    };
    let toc = write_directory_toc(&plan.toc);
    let toc = read::store(&toc, sink, progress).map_err(|e| Error::local("storing toc.dat", e))?;
    dumped.push("toc.dat", MemberContent::Toc, toc.into_iter().collect());

    let mut evidence = DatabaseEvidence {
        extensions: known.extensions,
        objects: count_objects(&plan.toc),
        schema_sha256: schema_sha256(&plan.toc),
        sequences: sequences(&plan.toc, &known.sequence_names)?,
        ..DatabaseEvidence::default()
    };
    let mut tables = BTreeMap::new();
    let mut unlike_columns = BTreeSet::new();
    let mut large_objects = LargeObjectSummer::default();
    for (member, result) in plan.members.iter().zip(results) {
        let mut parts: Vec<Stored> = result.parts.into_iter().flatten().collect();
        match &member.what {
            MemberContent::Table { name } => {
                let alike = add_table(&mut tables, name, member, &parts);
                unlike_columns.extend((!alike).then(|| name.clone()));
            }
            MemberContent::LargeObject { .. } => {
                large_objects.add_finished(result.large_object.unwrap_or_default());
            }
            _ => {}
        }
        let rest = match &member.what {
            MemberContent::Table { .. } => COPY_END,
            _ => &member.list,
        };
        let rest = read::store(rest, sink, progress)
            .map_err(|e| Error::local(format!("storing {}", member.file), e))?;
        parts.extend(rest);
        dumped.push(&member.file, member.what.clone(), parts);
    }
    for name in unlike_columns {
        tables.remove(&name);
        dumped.manifest.warnings.push(format!(
            "the content of {name} cannot be proven after a restore: its rows are routed to partitions anew, and the \
             partitions' columns stand in different orders"
        ));
    }
    evidence.tables = tables.into_values().collect();
    evidence.sequences.sort_by(|a, b| a.name.cmp(&b.name));
    evidence.large_objects = large_objects.sum();
    dumped.manifest.evidence = evidence;
    Ok(dumped)
}

impl DumpedDatabase {
    fn push(&mut self, file: &str, what: MemberContent, parts: Vec<Stored>) {
        self.tokens.push(parts.iter().map(|p| p.token).collect());
        self.manifest.members.push(Member {
            file: file.to_owned(),
            what,
            size: parts.iter().map(|p| p.segment.bytes).sum(),
            segments: parts.into_iter().map(|p| p.segment).collect(),
        });
    }
}

/// Adds a member's rows to its table; several members are one table when they are proven together. False when their
/// columns differ, so that their rows' texts cannot be compared with those of the whole.
fn add_table(
    tables: &mut BTreeMap<QualifiedName, TableEvidence>,
    name: &QualifiedName,
    member: &PlannedMember,
    parts: &[Stored],
) -> bool {
    let Some(relation) = &member.relation else {
        return true;
    };
    let table = tables.entry(name.clone()).or_insert_with(|| TableEvidence {
        name: name.clone(),
        content: ContentSum::default(),
        columns: relation.columns.clone(),
        condition: relation.condition.clone(),
    });
    parts.iter().for_each(|part| table.content.add(part.sum));
    table.columns == relation.columns
}

/// Values of the sequences, from the statements that will set them.
fn sequences(toc: &Toc, names: &HashMap<u32, QualifiedName>) -> Result<Vec<SequenceEvidence>> {
    let by_id: HashMap<i64, &Entry> = toc.entries.iter().map(|e| (e.dump_id, e)).collect();
    let set = toc.entries.iter().filter(|e| e.is("SEQUENCE SET"));
    set.map(|entry| {
        let value = SequenceValue::of(entry).ok_or_else(|| Error::Protocol {
            doing: "reading pg_dump's table of contents".into(),
            what: format!("the value of sequence {} is not understood", entry.tag()),
        })?;
        // The entry's own texts are in the database's encoding; the catalog gave the name in UTF-8.
        let name = entry
            .depends_on()
            .filter_map(|id| names.get(&by_id.get(&id)?.oid()))
            .next()
            .cloned()
            .unwrap_or_else(|| QualifiedName::new(entry.namespace(), entry.tag()));
        Ok(SequenceEvidence {
            name,
            last_value: value.last_value,
            is_called: value.is_called,
        })
    })
    .collect()
}
