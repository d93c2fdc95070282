//! One database of a backup as an archive inside a package.

use crate::{Error, Result, export::Export};
use pgkeep_model::manifest::{DatabaseContent, MemberContent};
use pgkeep_postgres::{
    archive::{self, CustomLayout, CustomWriter},
    restore::DumpSource,
};
use std::{collections::BTreeMap, io::Write};

/// How a database will lie in the package.
pub(super) struct Laid {
    /// `None` for a script, which is one member.
    layout: Option<CustomLayout>,
    pub bytes: u64,
    pub members: BTreeMap<i64, String>,
    pub ending: &'static str,
}

impl Export<'_> {
    /// Finds out the size of what [`Export::write_laid`] will write, without reading a row.
    pub(super) fn lay(&self) -> Result<Laid> {
        if self.database.content == DatabaseContent::Plain {
            return Ok(Laid {
                layout: None,
                bytes: self.script()?.size,
                members: BTreeMap::new(),
                ending: "sql",
            });
        }
        let toc = self.toc()?;
        let mut layout = CustomLayout::new(&toc);
        let mut members = BTreeMap::new();
        for entry in toc.entries.iter().filter(|e| e.has_data) {
            let member = self.member_of(entry)?;
            members.insert(entry.dump_id, member.file.clone());
            if member.what == MemberContent::LargeObjectToc {
                let mut sizes = Vec::new();
                for (_, file) in archive::parse_large_object_toc(self.source.read(member)?)? {
                    sizes.push(self.named(&file)?.size);
                }
                layout.large_objects(entry.dump_id, sizes);
            } else {
                layout.data(entry.dump_id, member.size);
            }
        }
        Ok(Laid {
            bytes: layout.size(),
            layout: Some(layout),
            members,
            ending: "pgcustom",
        })
    }

    pub(super) fn write_laid(&self, laid: &Laid, out: &mut dyn Write) -> Result<()> {
        let Some(layout) = &laid.layout else {
            std::io::copy(&mut self.open(self.script()?)?, out)?;
            return Ok(());
        };
        let toc = self.toc()?;
        let mut writer = CustomWriter::laid_out(out, layout)?;
        self.fill(&toc, &mut writer)?;
        writer.finish()?;
        Ok(())
    }
}

/// The members' names that a package tells must be its manifest's.
pub(super) fn member_name(members: &BTreeMap<i64, String>, dump_id: i64) -> Result<&str> {
    members.get(&dump_id).map(String::as_str).ok_or_else(|| {
        Error::new(
            crate::ErrorCode::Damaged,
            format!("the package does not say what its block {dump_id} is"),
        )
    })
}
